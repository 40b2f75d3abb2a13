"""Reading Kubernetes' own NetworkPolicy: a union of permissions.

https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
"""

from pydantic import JsonValue

from playbooks.kubernetes import readings
from playbooks.kubernetes.readings import (
    ALL_SIDES,
    NO_SIDES,
    PODS,
    Direction,
    Question,
    Reading,
    Rule,
    items,
    part,
    texts,
    title,
)
from playbooks.kubernetes.selectors import in_words, is_everything, matches

GROUP = "networking.k8s.io"


def read(question: Question) -> Reading | None:
    """What the policy says of the pod; None where it does not select it, or not in this direction."""
    policy, pod, direction = question.policy, question.pod, question.direction
    if policy.namespace != pod.namespace or direction.capitalize() not in types(question.spec):
        return None
    if not matches(question.spec.get("podSelector"), pod.labels):
        return None
    rules = tuple(_rule(rule, question.peers_key, direction) for rule in items(question.spec.get(direction)))
    return Reading(title(policy), readings.DEFAULT_TIER, readings.KUBERNETES_ORDER, closes=True, rules=rules)


def types(spec: dict[str, JsonValue]) -> list[str]:
    """Directions that a policy is about; the API server fills them in like this."""
    return texts(spec.get("policyTypes")) or ["Ingress", *(["Egress"] if "egress" in spec else [])]


def _rule(rule: dict[str, JsonValue], key: str, direction: Direction) -> Rule:
    peers, ports = items(rule.get(key)), items(rule.get("ports"))
    sides = frozenset().union(*(_sides(peer) for peer in peers)) if peers else ALL_SIDES
    whole = NO_SIDES
    if not ports:
        whole = frozenset().union(*(_whole(peer) for peer in peers)) if peers else ALL_SIDES
    toward = "from" if direction == "ingress" else "to"
    who = " or ".join(map(_peer, peers)) or "anywhere"
    where = f" on {', '.join(map(port_words, ports))}" if ports else ""
    return Rule("allow", sides, whole, f"{toward} {who}{where}")


def _sides(peer: dict[str, JsonValue]) -> readings.Sides:
    # An ipBlock that covers pods lets them in with some CNIs and not with others.
    return ALL_SIDES if "ipBlock" in peer else PODS


def _whole(peer: dict[str, JsonValue]) -> readings.Sides:
    everywhere = "namespaceSelector" in peer and is_everything(peer["namespaceSelector"])
    return PODS if everywhere and is_everything(peer.get("podSelector")) else NO_SIDES


def _peer(peer: dict[str, JsonValue]) -> str:
    block = part(peer.get("ipBlock"))
    if block:
        less = texts(block.get("except"))
        return f"{block.get('cidr')}" + (f" except {', '.join(less)}" if less else "")
    pods = in_words(peer.get("podSelector"))
    if "namespaceSelector" not in peer:
        return f"pods {pods} of its namespace" if pods else "every pod of its namespace"
    namespaces = in_words(peer["namespaceSelector"])
    return f"{f'pods {pods}' if pods else 'every pod'} of {f'namespaces {namespaces}' if namespaces else 'the cluster'}"


def port_words(port: dict[str, JsonValue]) -> str:
    """A port or a range of them: `TCP 80`, `UDP 1000-2000`."""
    protocol, number, last = port.get("protocol") or "TCP", port.get("port"), port.get("endPort")
    if number is None:
        return f"any {protocol} port"
    return f"{protocol} {number}-{last}" if last is not None else f"{protocol} {number}"
