"""What no policy of a mechanism cuts, or what nobody can tell without a probe.

Owns these sentences and where each comes from.
"""

from collections.abc import Iterable, Iterator

from playbooks.kubernetes.admin_policies import GROUP, stage
from playbooks.kubernetes.draft import named
from playbooks.kubernetes.mechanisms import Choice, available
from playbooks.kubernetes.observation import ClusterFacts, KubernetesObservation, PodSeen, PolicySeen
from playbooks.kubernetes.reach import Reach
from playbooks.kubernetes.readings import ADMIN_TIER, title
from playbooks.kubernetes.relabel import Relabelled

# https://kubernetes.io/docs/concepts/services-networking/network-policies/#networkpolicy-pod-lifecycle
_ESTABLISHED = {
    "cilium": "connections that are established may go on: Cilium passes replies of those it tracks",
    "calico": "connections that are established may go on: Calico keeps the flows it tracks",
}
_ANY_ESTABLISHED = "connections that are established may go on: the API leaves it to the CNI"
# https://kubernetes.io/docs/concepts/services-networking/network-policies/#what-you-can-t-do-with-network-policies
_OWN_NODE = "the node of each pod reaches it still, for the kubelet's probes"
_UNPROVEN = "what becomes of them is unknown without a probe, or has to be cut on the node"


def of_mechanism(choice: Choice, facts: ClusterFacts, policies: Iterable[PolicySeen]) -> Iterator[str]:
    """What holds for every pod that is cut by it."""
    yield f"{_ESTABLISHED.get(choice.mechanism, _ANY_ESTABLISHED)}; {_UNPROVEN}"
    yield _OWN_NODE
    if choice.mechanism == "admin-network-policy":
        yield f"that {choice.api} is served does not say that the CNI acts on it: a probe does"
        yield from _same_priority(policies)
    if choice.mechanism == "network-policy" and not set(facts.cni) - {"flannel"}:
        seen = ", ".join(facts.cni) or "none"
        yield f"no CNI was seen that is known to act on NetworkPolicies (seen: {seen}): only a probe tells"


def advice(choice: Choice, observation: KubernetesObservation) -> str:
    """What could cut what a mechanism does not."""
    there = available(observation.facts)
    stronger = [other.mechanism for other in there if other != choice and there.index(other) < _rank(there, choice)]
    if choice.mechanism == "admin-network-policy" and observation.reference.resource != "Pod":
        return "its owner can end it, or the mechanism `network-policy`, which takes each pod out of that policy"
    if stronger:
        return f"the mechanism `{stronger[0]}` would cut it"
    return "only its owner can end it, by changing that policy, or the kill-switch of the node's host"


def of_peers(kinds: Iterable[Relabelled], reaches: Iterable[Reach]) -> Iterator[str]:
    """What peers may make of labels that are gone, where something gets through still."""
    for kind, reach in zip(kinds, reaches, strict=True):
        gone = sorted(kind.before.labels.keys() - kind.after.labels.keys())
        if gone and (reach.ingress.passages or reach.egress.passages):
            yield (
                f"on that way, policies of other namespaces that except pods by {', '.join(gone)} do not except "
                f"{named(kind.pods)} any more: they were not seen"
            )


def of_host_network(observation: KubernetesObservation, pods: Iterable[PodSeen]) -> Iterator[str]:
    """Pods that no policy reaches, and what would."""
    machines = {node.name: node.machine_id for node in observation.nodes}
    for pod in pods:
        others = [other for other in observation.pods if other.node == pod.node and other != pod]
        machine = f" (machine id {machines[pod.node]})" if machines.get(pod.node) else ""
        yield (
            f"{named([pod])} is on the network of its node, outside of every NetworkPolicy: escalate to node "
            f"{pod.node or '(not scheduled yet)'}{machine} as target; the blast radius is that node"
            + (f", with {named(others)} of this target on it" if others else "")
        )


def _rank(there: tuple[Choice, ...], choice: Choice) -> int:
    return next(rank for rank, other in enumerate(there) if other.mechanism == choice.mechanism)


def _same_priority(policies: Iterable[PolicySeen]) -> Iterator[str]:
    for policy in policies:
        first = policy.group == GROUP and policy.spec.get("priority") == 0
        if first and stage(policy.kind, policy.spec) == ADMIN_TIER and "firebreak.dev/incident" not in policy.labels:
            yield f"{title(policy)} has priority 0 too: which of the two decides where both match is undefined"
