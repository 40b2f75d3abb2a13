"""Observing a Kubernetes target: itself, its pods and all that could let traffic to them or restore them.

Owns the order of the requests: what does not need another's answer is asked at once, because until it is planned
nothing is cut. Read-only.
"""

from collections.abc import Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
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
AT_ONCE = 12
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
    """By what a cluster is asked: one by one, by lists that several share; and what is known of it already."""

    calls: Calls
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
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="observe") as pool:
        try:
            return _observe(pool, asking, (target.workload_id, reference, holder), intent)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _observe(
    pool: Executor, asking: Asking, whom: tuple[str, ClusterRef, str], intent: PlatformIntent
) -> KubernetesObservation:
    target_id, reference, holder = whom
    calls, lists, facts = asking.calls, asking.lists, asking.facts
    known = pool.submit(facts.known)
    namespaces = pool.submit(lists.every, Place(NAMESPACES), metadata_only=True)
    scope = _scope(reference)
    around = Surroundings(pool, lists, scope) if scope else None
    found = find(calls, reference, intent.incident_id)
    pods = tuple(sorted((pod_seen(one, holder) for one in found.pods), key=lambda pod: (pod.namespace, pod.name)))
    nodes = _nodes(pool, lists, found, pods)
    account = _account(pool, calls, found, pods, intent)
    around = around or Surroundings(pool, lists, tuple(sorted({pod.namespace for pod in pods})))
    around.ask_policies(known.result())
    seen = _seen(nodes, holder)
    read = Snapshot({Place(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"]): pod for pod in found.pods})
    policies = around.policies(facts, frozenset(node.name for node in seen), read)
    asking.recent.note((intent.incident_id, target_id), read)
    return KubernetesObservation(
        target_id=target_id,
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


def _nodes(pool: Executor, lists: SharedLists, found: Found, pods: Iterable[PodSeen]) -> list[Future[list[Raw]]]:
    if found.reference.resource == "Node":
        itself: Future[list[Raw]] = Future()
        itself.set_result([found.target])
        return [itself]
    names = sorted({pod.node for pod in pods} - {""})
    if len(names) < MANY_NODES:
        return [pool.submit(lists.every, Place(NODES), fields=f"metadata.name={name}") for name in names]
    return [pool.submit(lambda: [one for one in lists.every(Place(NODES)) if one["metadata"]["name"] in names])]


def _seen(nodes: Iterable[Future[list[Raw]]], holder: str) -> tuple[NodeSeen, ...]:
    found = (node_seen(one, holder) for asked in nodes for one in asked.result())
    return tuple(sorted(found, key=lambda node: node.name))


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
