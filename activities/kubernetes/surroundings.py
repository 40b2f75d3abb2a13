"""What stands around the pods of a target: policies, and the Services and controllers that select them.

Owns which lists are asked for and what of them matters. A few namespaces are asked for one by one, many with one list
of the whole cluster.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from activities.killswitch.platform import PlatformUnreachable
from activities.kubernetes import apis
from activities.kubernetes.calls import Raw
from activities.kubernetes.discovery import Discovery, Known
from activities.kubernetes.places import CONTROLLERS, NETWORK_POLICIES, SERVICES, Api, Place
from activities.kubernetes.recent import Snapshot
from activities.kubernetes.refusals import ApiMissing
from activities.kubernetes.seen import policy_seen, selector_seen
from activities.kubernetes.sharing import SharedLists
from playbooks.kubernetes.marks import INCIDENT
from playbooks.kubernetes.observation import PodSeen, PolicySeen, SelectorSeen
from playbooks.kubernetes.selectors import Requirement, requirements

# From so many namespaces on, one list of everything is less work for the server than one each.
MANY_NAMESPACES = 4
_NEGATIVE = frozenset({"NotIn", "DoesNotExist"})
_SELECTING = {"Service": SERVICES, **CONTROLLERS}
PERMISSIONS = (*apis.permissions_to_list(), *(Place(api).permission("list") for api in _SELECTING.values()))


@dataclass(frozen=True)
class Listing:
    """A list on its way. `whole`: the namespaces that it is of, and has everything of; an empty one is the cluster."""

    kind: str
    api: Api
    items: Future[list[Raw]]
    whole: tuple[str, ...] = ()


class Surroundings:
    """The lists around some namespaces; asked for at once, read when they are there."""

    def __init__(self, lists: SharedLists, namespaces: tuple[str, ...]) -> None:
        self._lists = lists
        self._namespaces = namespaces
        self._selecting = [
            Listing(kind, api, lists.ask(Place(api, one)))
            for kind, api in _SELECTING.items()
            for one in self._asked(namespaces)
        ]
        # Every cluster serves these: no need to wait for its discovery.
        self._policies = list(self._namespaced(NETWORK_POLICIES, namespaces))

    def ask_policies(self, known: Known) -> None:
        """Ask for every other kind of policy that the cluster serves."""
        served = known.apis
        for api in served:
            if api.group == apis.CALICO_STORED and any(
                (other.group, other.plural) == (apis.CALICO, api.plural) for other in served
            ):
                # The same objects once more, as Calico's API server stores them.
                continue
            if api.plural in apis.CLUSTER_WIDE.get(api.group, ()):
                self._policies.append(Listing("", api, self._lists.ask(Place(api)), ("",)))
            elif api != NETWORK_POLICIES:
                # A policy in the mesh's own namespace holds for every other one.
                root = known.mesh_namespaces if api.group == apis.ISTIO else ()
                self._policies += self._namespaced(api, (*self._namespaces, *root))

    def policies(self, discovery: Discovery, nodes: frozenset[str], read: Snapshot) -> tuple[PolicySeen, ...]:
        """Those of the namespaces, those of the cluster, and ours wherever they are; `read` gets them as they were."""
        found = {}
        for listing in self._policies:
            items = _items(listing, discovery)
            for namespace in listing.whole:
                read.note_all(listing.api, namespace, (one for one in items if _namespace(one) == namespace))
            for one in items:
                seen = policy_seen(listing.api, one)
                if seen.resource != "hostendpoints" or INCIDENT in seen.labels or seen.spec.get("node") in nodes:
                    found[seen.group, seen.resource, seen.namespace, seen.name] = seen
        return tuple(found[key] for key in sorted(found))

    def selectors(self, pods: Iterable[PodSeen], itself: tuple[str, str]) -> tuple[SelectorSeen, ...]:
        """What selects one of the pods, or could select one that has lost its labels; what owns them; the target."""
        several = tuple(pods)
        found = [
            selector_seen(listing.kind, one)
            for listing in self._selecting
            for one in listing.items.result()
            if one["metadata"]["namespace"] in self._namespaces
        ]
        owners = _owners(found, several)
        matter = [
            one for one in found if (one.kind, one.name) == itself or _key(one) in owners or _may_select(one, several)
        ]
        return tuple(sorted(matter, key=lambda one: (one.kind, one.namespace, one.name)))

    def _namespaced(self, api: Api, namespaces: tuple[str, ...]) -> Iterator[Listing]:
        wanted = tuple(dict.fromkeys(namespaces))
        for one in self._asked(wanted):
            yield Listing("", api, self._lists.ask(Place(api, one)), (one,) if one else wanted)
        yield Listing("", api, self._lists.ask(Place(api), labels=INCIDENT))

    def _asked(self, namespaces: tuple[str, ...]) -> tuple[str, ...]:
        return namespaces if len(namespaces) < MANY_NAMESPACES else ("",)


def _items(listing: Listing, discovery: Discovery) -> list[Raw]:
    try:
        items = listing.items.result()
    except ApiMissing as error:
        # What is known of the cluster is out of date: whoever looks again finds out what it serves now.
        discovery.forget()
        raise PlatformUnreachable(f"{error.summary} It was served less than a minute ago.") from error
    return [one for one in items if _namespace(one) in listing.whole] if listing.whole else items


def _namespace(found: Raw) -> str:
    return str(found["metadata"].get("namespace") or "")


def _key(one: SelectorSeen) -> tuple[str, str]:
    return one.namespace, f"{one.kind}/{one.name}"


def _owners(found: Iterable[SelectorSeen], pods: Iterable[PodSeen]) -> set[tuple[str, str]]:
    """The pods' controllers, and the controllers of those."""
    direct = {(pod.namespace, pod.controller) for pod in pods if pod.controller}
    return direct | {(one.namespace, one.owner) for one in found if _key(one) in direct and one.owner}


def _may_select(one: SelectorSeen, pods: Iterable[PodSeen]) -> bool:
    if not one.selector:
        return False
    needs = list(requirements({"matchLabels": one.selector} if one.kind == "Service" else one.selector))
    # Taking labels away can make a pod match where a label must not be.
    negative = any(need.operator in _NEGATIVE for need in needs)
    return negative or any(pod.namespace == one.namespace and _holds(needs, pod) for pod in pods)


def _holds(needs: Iterable[Requirement], pod: PodSeen) -> bool:
    return all(need.holds(pod.labels) for need in needs)
