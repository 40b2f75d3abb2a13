"""Reading the admin tier and the baseline: AdminNetworkPolicy, ClusterNetworkPolicy, BaselineAdminNetworkPolicy.

The first rule that matches decides, by priority and then in the order written; `Pass` goes on to the next tier. The
admin tier stands before every NetworkPolicy, the baseline is asked only of pods that no NetworkPolicy selects.
https://network-policy-api.sigs.k8s.io/api-overview/
"""

from typing import Literal

from pydantic import JsonValue

from playbooks.kubernetes import readings
from playbooks.kubernetes.readings import (
    ALL_SIDES,
    NO_SIDES,
    OUTSIDE,
    PODS,
    Question,
    Reading,
    Rule,
    Sides,
    items,
    part,
    texts,
    title,
)
from playbooks.kubernetes.selectors import in_words, is_everything, matches

GROUP = "policy.networking.k8s.io"
_EVERY_ADDRESS = frozenset({"0.0.0.0/0", "::/0"})
_ACTIONS: dict[str, Literal["allow", "deny", "pass"]] = {
    "Accept": "allow",
    "Allow": "allow",
    "Deny": "deny",
    "Pass": "pass",
}


def read(question: Question) -> Reading | None:
    """What the policy says of the pod; None where it does not select it, or has no rule for this direction."""
    rules = items(question.spec.get(question.direction))
    if not rules or not _selects(question):
        return None
    return Reading(
        policy=title(question.policy),
        stage=stage(question.policy.kind, question.spec),
        order=float(str(question.spec.get("priority") or 0)),
        closes=False,
        rules=tuple(_rule(rule, question.peers_key) for rule in rules),
    )


def stage(kind: str, spec: dict[str, JsonValue]) -> float:
    """The tier that it is in."""
    baseline = kind == "BaselineAdminNetworkPolicy" or spec.get("tier") == "Baseline"
    return readings.BASELINE_TIER if baseline else readings.ADMIN_TIER


def _selects(question: Question) -> bool:
    subject = part(question.spec.get("subject"))
    labels = question.around.namespace_labels(question.pod.namespace)
    if "namespaces" in subject:
        return matches(subject["namespaces"], labels)
    pods = part(subject.get("pods"))
    return (
        bool(pods)
        and matches(pods.get("namespaceSelector"), labels)
        and matches(pods.get("podSelector"), question.pod.labels)
    )


def _rule(rule: dict[str, JsonValue], key: str) -> Rule:
    peers = items(rule.get(key))
    narrowed = bool(rule.get("ports") or rule.get("protocols"))
    sides: Sides = frozenset().union(*(_sides(peer) for peer in peers))
    whole = NO_SIDES if narrowed else _whole(peers)
    words = f"{key} {' or '.join(map(_peer, peers))}" + (" on certain ports" if narrowed else "")
    return Rule(_ACTIONS.get(str(rule.get("action")), "pass"), sides, whole, words)


def _sides(peer: dict[str, JsonValue]) -> Sides:
    if "networks" in peer:
        return ALL_SIDES
    return PODS if "namespaces" in peer or "pods" in peer else OUTSIDE


def _whole(peers: list[dict[str, JsonValue]]) -> Sides:
    networks = {network for peer in peers for network in texts(peer.get("networks"))}
    if networks >= _EVERY_ADDRESS:
        return ALL_SIDES
    return PODS if any(_every_pod(peer) for peer in peers) else NO_SIDES


def _every_pod(peer: dict[str, JsonValue]) -> bool:
    if "namespaces" in peer:
        return is_everything(peer["namespaces"])
    pods = part(peer.get("pods"))
    return bool(pods) and is_everything(pods.get("namespaceSelector")) and is_everything(pods.get("podSelector"))


def _peer(peer: dict[str, JsonValue]) -> str:
    if "namespaces" in peer:
        return f"namespaces {in_words(peer['namespaces'])}" if in_words(peer["namespaces"]) else "every pod"
    if "pods" in peer:
        pods = part(peer["pods"])
        return f"pods {in_words(pods.get('podSelector'))} of namespaces {in_words(pods.get('namespaceSelector'))}"
    if "nodes" in peer:
        return f"nodes {in_words(peer['nodes'])}".rstrip()
    return ", ".join(texts(peer.get("networks")) or texts(peer.get("domainNames"))) or "peers of a kind we don't know"
