"""Which flows NetworkPolicies let through, by the rules of the API alone: a flow needs the egress of one end and the
ingress of the other. Knows nothing of the code that it judges."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from playbooks.kubernetes.observation import PodSeen, PolicySeen

PORTS = (80, 443)


class Flow(NamedTuple):
    source: str
    destination: str
    port: int


def flows(target: PodSeen, peers: Iterable[PodSeen], policies: Iterable[PolicySeen], spaces: Any) -> set[Flow]:
    """Every flow between the target and a peer that gets through."""
    found = list(policies)
    pairs = [pair for peer in peers for pair in ((target, peer), (peer, target))]
    return {
        Flow(source.name, destination.name, port)
        for source, destination in pairs
        for port in PORTS
        if _permitted(source, destination, port, "egress", found, spaces)
        and _permitted(destination, source, port, "ingress", found, spaces)
    }


def _permitted(pod: PodSeen, peer: PodSeen, port: int, direction: str, policies: list[PolicySeen], spaces: Any) -> bool:
    near: list[Any] = [policy.spec for policy in policies if policy.namespace == pod.namespace]
    about = [spec for spec in near if direction.capitalize() in spec["policyTypes"]]
    selecting = [spec for spec in about if selects(spec["podSelector"], pod.labels)]
    rules = [rule for spec in selecting for rule in spec.get(direction, [])]
    return not selecting or any(_names(rule, pod, peer, port, direction, spaces) for rule in rules)


def _names(rule: Any, pod: PodSeen, peer: PodSeen, port: int, direction: str, spaces: Any) -> bool:
    peers, ports = rule.get({"ingress": "from", "egress": "to"}[direction], []), rule.get("ports", [])
    if ports and port not in [one["port"] for one in ports]:
        return False
    return not peers or any(_is(one, pod, peer, spaces) for one in peers)


def _is(one: Any, pod: PodSeen, peer: PodSeen, spaces: Any) -> bool:
    if "namespaceSelector" in one:
        if not selects(one["namespaceSelector"], spaces[peer.namespace]):
            return False
    elif peer.namespace != pod.namespace:
        return False
    return selects(one.get("podSelector", {}), peer.labels)


def selects(selector: Any, labels: dict[str, str]) -> bool:
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for one in selector.get("matchExpressions", []):
        there, value = one["key"] in labels, labels.get(one["key"])
        listed = there and value in one.get("values", [])
        if not {"In": listed, "NotIn": not listed, "Exists": there, "DoesNotExist": not there}[one["operator"]]:
            return False
    return True
