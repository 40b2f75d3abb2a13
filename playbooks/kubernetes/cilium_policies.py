"""Reading Cilium's policies: permissions like NetworkPolicy's, and denials that beat every permission.

https://docs.cilium.io/en/stable/security/policy/language/ and .../deny-policies/
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import JsonValue

from playbooks.kubernetes import readings
from playbooks.kubernetes.readings import (
    ALL_SIDES,
    NO_SIDES,
    OUTSIDE,
    PODS,
    Direction,
    Question,
    Reading,
    Rule,
    Sides,
    items,
    part,
    texts,
    title,
)
from playbooks.kubernetes.selectors import SelectorUnknown, in_words, is_everything, matches

GROUP = "cilium.io"
_NAMESPACE = "io.kubernetes.pod.namespace"
_NAMESPACE_LABELS = "io.cilium.k8s.namespace.labels."
_SERVICE_ACCOUNT = "io.cilium.k8s.policy.serviceaccount"
_ENTITIES: dict[str, tuple[Sides, Sides]] = {
    "all": (ALL_SIDES, ALL_SIDES),
    "cluster": (ALL_SIDES, PODS),
    "world": (OUTSIDE, NO_SIDES),
    "host": (OUTSIDE, NO_SIDES),
    "remote-node": (OUTSIDE, NO_SIDES),
    "kube-apiserver": (OUTSIDE, NO_SIDES),
    "health": (OUTSIDE, NO_SIDES),
}
_NARROWING = frozenset({"toPorts", "icmps", "authentication"})


def read(question: Question) -> Iterator[Reading]:
    """What the policy says of the pod: its denials in their own stage, its permissions beside NetworkPolicy's."""
    for spec in items(question.spec.get("specs")) or [question.spec]:
        if "nodeSelector" not in spec and _selects(spec, question):
            yield from _readings(spec, question)


def selecting(selector: JsonValue) -> JsonValue:
    """A selector whose labels are called as the pod has them: Cilium puts their source before the name."""
    named = part(selector)
    equal = {_bare(key): value for key, value in part(named.get("matchLabels")).items()}
    expressions: list[JsonValue] = [
        {**expression, "key": _bare(str(expression.get("key")))} for expression in items(named.get("matchExpressions"))
    ]
    if set(named) - {"matchLabels", "matchExpressions"}:
        raise SelectorUnknown(f"{selector!r} is no endpoint selector as we know it.")
    return {"matchLabels": equal, "matchExpressions": expressions}


def _bare(key: str) -> str:
    for source in ("k8s:", "any:", "k8s."):
        if key.startswith(source):
            return key.removeprefix(source)
    return key


def _selects(spec: dict[str, JsonValue], question: Question) -> bool:
    pod = question.pod
    if question.policy.namespace not in ("", pod.namespace):
        return False
    around = question.around.namespace_labels(pod.namespace)
    labels = {_NAMESPACE_LABELS + key: value for key, value in around.items()}
    labels |= {**pod.labels, _NAMESPACE: pod.namespace, _SERVICE_ACCOUNT: pod.service_account}
    return matches(selecting(spec.get("endpointSelector")), labels)


def _readings(spec: dict[str, JsonValue], question: Question) -> Iterator[Reading]:
    direction = question.direction
    allows, denies = items(spec.get(direction)), items(spec.get(f"{direction}Deny"))
    if not allows and not denies:
        return
    denied = tuple(rule for found in denies if (rule := _rule("deny", found, direction)))
    allowed = tuple(rule for found in allows if (rule := _rule("allow", found, direction)))
    by_default = part(spec.get("enableDefaultDeny")).get(direction) is not False
    name, order = title(question.policy), readings.KUBERNETES_ORDER
    if denied:
        yield Reading(name, readings.CILIUM_DENIES, order, closes=False, rules=denied)
    yield Reading(name, readings.DEFAULT_TIER, order, closes=by_default, rules=allowed)


def _rule(action: Literal["allow", "deny"], rule: dict[str, JsonValue], direction: Direction) -> Rule | None:
    prefix = "from" if direction == "ingress" else "to"
    peers = {key: value for key, value in rule.items() if key not in _NARROWING and key.startswith(prefix)}
    ports = rule.get("toPorts") or rule.get("icmps")
    if not peers and not ports:
        # A rule of nothing names nobody: it only makes the policy apply in this direction.
        return None
    sides, whole = (ALL_SIDES, ALL_SIDES) if not peers else _sides(peers, prefix)
    narrowed = any(key in rule for key in _NARROWING) or set(rule) - set(peers) - _NARROWING
    who = " or ".join(_peers(peers)) or "anywhere"
    words = f"{prefix} {who}" + (f" on {_ports(rule)}" if ports else "")
    return Rule(action, sides, NO_SIDES if narrowed else whole, words)


def _sides(peers: dict[str, JsonValue], prefix: str) -> tuple[Sides, Sides]:
    sides, whole = NO_SIDES, NO_SIDES
    for key, value in peers.items():
        kind = key.removeprefix(prefix)
        if kind == "Entities":
            found = [_ENTITIES.get(entity, (ALL_SIDES, NO_SIDES)) for entity in texts(value)]
            sides |= frozenset().union(*(side for side, _ in found))
            whole |= frozenset().union(*(side for _, side in found))
        else:
            # Endpoints are pods; nodes and the API server can carry labels of their own there.
            sides |= OUTSIDE if kind in ("Nodes", "FQDNs") else ALL_SIDES
    return sides, whole


def _peers(peers: dict[str, JsonValue]) -> Iterator[str]:
    for key, value in peers.items():
        if key.endswith("Endpoints"):
            for selector in items(value):
                plain = selecting(selector)
                yield "every endpoint" if is_everything(plain) else f"endpoints {in_words(plain)}"
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            yield ", ".join(texts(value))
        else:
            yield f"{key} of its own"


def _ports(rule: dict[str, JsonValue]) -> str:
    ports = [port for group in items(rule.get("toPorts")) for port in items(group.get("ports"))]
    return ", ".join(f"{port.get('protocol') or 'ANY'} {port.get('port')}" for port in ports) or "certain protocols"
