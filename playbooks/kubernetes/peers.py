"""What peers' own policies make of a pod whose labels change.

A policy at a peer names the pod by its labels too: `everybody but app=web` takes it in once it is no longer `app=web`.
That matters only as far as the pod's own policies still let something through. Owns that one question, and errs toward
yes: namespaces and ports of a rule are not looked at. It knows of those policies that were seen: `caveats.of_peers`
says where others would matter.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from pydantic import JsonValue

from playbooks.kubernetes import admin_policies, calico_policies, cilium_policies, network_policies
from playbooks.kubernetes.calico_selectors import parse
from playbooks.kubernetes.observation import PodSeen, PolicySeen
from playbooks.kubernetes.reach import Reach
from playbooks.kubernetes.readings import DIRECTIONS, Direction, items, part
from playbooks.kubernetes.selectors import SelectorUnknown, matches

_OPPOSITE: dict[Direction, Direction] = {"ingress": "egress", "egress": "ingress"}


class _Named(NamedTuple):
    """A rule's selector, and whether to be named by it lets in, keeps out, or may do either."""

    effect: str
    holds: Callable[[PodSeen], bool]


def let_in_more(policies: Iterable[PolicySeen], before: PodSeen, after: PodSeen, left: Reach) -> bool:
    """Whether a peer may let in what it kept out before, on a way that the pod's own policies leave open."""
    found = [policy for policy in policies if policy.resource != "authorizationpolicies"]
    open_ways = [direction for direction in DIRECTIONS if not left.lane(direction).closed]
    return any(_opens(policy, way, before, after) for way in open_ways for policy in found)


def _opens(policy: PolicySeen, way: Direction, before: PodSeen, after: PodSeen) -> bool:
    try:
        return any(_changed(named, before, after) for named in _named(policy, _OPPOSITE[way]))
    except SelectorUnknown:
        # The pod's own labels may be what it hangs on.
        return before.labels != after.labels


def _changed(named: _Named, before: PodSeen, after: PodSeen) -> bool:
    was, is_now = named.holds(before), named.holds(after)
    return {"lets-in": is_now and not was, "keeps-out": was and not is_now}.get(named.effect, was != is_now)


def _named(policy: PolicySeen, direction: Direction) -> Iterator[_Named]:
    if policy.group in calico_policies.GROUPS:
        return _by_calico_rules(policy, direction)
    reader = _READERS.get(policy.group)
    return reader(policy, direction, "from" if direction == "ingress" else "to") if reader else iter(())


def _by_network_policy(policy: PolicySeen, direction: Direction, key: str) -> Iterator[_Named]:
    for peer in _each(policy.spec.get(direction), key):
        if "ipBlock" not in peer:
            yield _Named("lets-in", _by_labels(peer.get("podSelector")))


def _by_admin(policy: PolicySeen, direction: Direction, key: str) -> Iterator[_Named]:
    effects = {"Deny": "keeps-out", "Allow": "lets-in", "Accept": "lets-in"}
    for rule in items(policy.spec.get(direction)):
        for peer in items(rule.get(key)):
            selector = part(peer.get("pods")).get("podSelector")
            yield _Named(effects.get(str(rule.get("action")), "either"), _by_labels(selector))


def _by_cilium(policy: PolicySeen, direction: Direction, key: str) -> Iterator[_Named]:
    for suffix, effect in (("", "lets-in"), ("Deny", "keeps-out")):
        for selector in _each(policy.spec.get(direction + suffix), f"{key}Endpoints"):
            yield _Named(effect, _by_labels(cilium_policies.selecting(selector)))


def _by_calico_rules(policy: PolicySeen, direction: Direction) -> Iterator[_Named]:
    for rule in items(policy.spec.get(direction)):
        for end in (part(rule.get("source")), part(rule.get("destination"))):
            for key in {"selector", "notSelector"} & end.keys():
                yield _Named("either", _by_calico(str(end[key])))


def _each(rules: JsonValue, key: str) -> Iterator[dict[str, JsonValue]]:
    for rule in items(rules):
        yield from items(rule.get(key))


def _by_labels(selector: JsonValue) -> Callable[[PodSeen], bool]:
    return lambda pod: matches(selector, pod.labels)


def _by_calico(text: str) -> Callable[[PodSeen], bool]:
    expression = parse(text)
    return lambda pod: expression.holds(calico_policies.pod_labels(pod.labels, pod.namespace, pod.service_account))


_READERS: dict[str, Callable[[PolicySeen, Direction, str], Iterator[_Named]]] = {
    network_policies.GROUP: _by_network_policy,
    admin_policies.GROUP: _by_admin,
    cilium_policies.GROUP: _by_cilium,
}
