"""Observing a Kubernetes target: itself, its pods and all that could let traffic to them or restore them.

Owns the order of the requests: what does not need another's answer is asked at once, because until it is planned
nothing is cut. Read-only.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass

import structlog

from activities.killswitch.platform import TargetUnknown
from activities.kubernetes import accounts, discovery, surroundings, targets
from activities.kubernetes.accounts import account_seen
from activities.kubernetes.calls import Calls, Raw
from activities.kubernetes.discovery import Discovery
from activities.kubernetes.places import NAMESPACES, NODES, PODS, Place
from activities.kubernetes.recent import Recent, Snapshot
from activities.kubernetes.seen import node_seen, pod_seen
from activities.kubernetes.sharing import SharedLists
from activities.kubernetes.surroundings import Surroundings
from activities.kubernetes.targets import Found, find
from playbooks.kubernetes.observation import AccountSeen, KubernetesObservation, NodeSeen, PodSeen
from playbooks.platform_intent import PlatformIntent
from segmentation.workloads import ClusterRef, Workload

log = structlog.get_logger(__name__)
# From so many nodes on, one list of all of them.
MANY_NODES = 8
OBSERVING = (
    *targets.PERMISSIONS,
    *discovery.PERMISSIONS,
    *surroundings.PERMISSIONS,
    *(Place(NODES).permission(verb) for verb in ("get", "list")),
    Place(NAMESPACES).permission("list"),
)
OBSERVING_ACCOUNTS = accounts.PERMISSIONS


@dataclass(frozen=True)
class Asking:
    """By what a cluster is asked: one by one, by lists that several share; and what is known of it already.

    `pool`: whose threads ask side by side, for every incident of the cluster; nothing in it waits for another in it.
    """

    calls: Calls
    pool: Executor
    lists: SharedLists
    facts: Discovery
    recent: Recent


def observe(asking: Asking, target: Workload, intent: PlatformIntent, holder: str) -> KubernetesObservation:
    """The target as it is now; `holder`: who would hold what it shares with others.

    Raises:
        TargetUnknown: it is not there, has ended, or its name alone means several.
    """
    reference = target.kubernetes
    if reference is None:
        raise TargetUnknown(f"{target.name} is no Kubernetes target: it names no cluster.")
    calls, pool, lists, facts = asking.calls, asking.pool, asking.lists, asking.facts
    known = pool.submit(facts.known)
    namespaces = lists.ask(Place(NAMESPACES), metadata_only=True)
    scope = _scope(reference)
    around = Surroundings(lists, scope) if scope else None
    found = find(calls, reference, intent.incident_id)
    pods = tuple(sorted((pod_seen(one, holder) for one in found.pods), key=lambda pod: (pod.namespace, pod.name)))
    nodes = _nodes(lists, found, pods)
    account = _account(pool, calls, found, pods, intent)
    around = around or Surroundings(lists, tuple(sorted({pod.namespace for pod in pods})))
    around.ask_policies(known.result())
    seen = _seen(nodes(), holder)
    read = Snapshot({Place(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"]): pod for pod in found.pods})
    policies = around.policies(facts, frozenset(node.name for node in seen), read)
    asking.recent.note((intent.incident_id, target.workload_id), read)
    return KubernetesObservation(
        target_id=target.workload_id,
        reference=found.reference,
        facts=known.result().facts,
        labels=found.target["metadata"].get("labels") or {},
        uid=found.target["metadata"]["uid"],
        pods=pods,
        namespaces={one["metadata"]["name"]: one["metadata"].get("labels") or {} for one in namespaces.result()},
        policies=policies,
        selectors=around.selectors(pods, (reference.resource, reference.name)),
        nodes=seen,
        account=account,
    )


def _scope(reference: ClusterRef) -> tuple[str, ...]:
    """The namespaces that the pods are in, if the name of the target says so."""
    if reference.resource == "Namespace":
        return (reference.name,)
    return (reference.namespace,) if reference.namespace and reference.resource != "Node" else ()


def _nodes(lists: SharedLists, found: Found, pods: Iterable[PodSeen]) -> Callable[[], Iterable[Raw]]:
    """Asked for; what is called returns them."""
    if found.reference.resource == "Node":
        return lambda: [found.target]
    names = {pod.node for pod in pods} - {""}
    if len(names) < MANY_NODES:
        asked = [lists.ask(Place(NODES), fields=f"metadata.name={name}") for name in sorted(names)]
    else:
        asked = [lists.ask(Place(NODES))]
    return lambda: (one for few in asked for one in few.result() if one["metadata"]["name"] in names)


def _seen(nodes: Iterable[Raw], holder: str) -> tuple[NodeSeen, ...]:
    return tuple(sorted((node_seen(one, holder) for one in nodes), key=lambda node: node.name))


def _account(
    pool: Executor, calls: Calls, found: Found, pods: Iterable[PodSeen], intent: PlatformIntent
) -> AccountSeen | None:
    """The target, or whose tokens are to be revoked; asked for only then, because it needs further rights."""
    if found.reference.resource == "ServiceAccount":
        return account_seen(pool, calls, found.reference.namespace, found.reference.name)
    names = {(pod.namespace, pod.service_account) for pod in pods}
    if not intent.kubernetes.revoke_tokens or not names:
        return None
    if len(names) > 1:
        log.warning("tokens of several service accounts can't be revoked as one", accounts=sorted(map("/".join, names)))
        return None
    return account_seen(pool, calls, *next(iter(names)))
