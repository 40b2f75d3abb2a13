"""Reading Calico's policies.

Tiers stand in their order, policies in a tier in theirs, rules as written; the first that matches decides.
https://docs.tigera.io/calico/latest/reference/resources/globalnetworkpolicy and .../tier
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import JsonValue

from playbooks.kubernetes import readings
from playbooks.kubernetes.calico_selectors import parse
from playbooks.kubernetes.observation import PolicySeen
from playbooks.kubernetes.readings import (
    ALL_SIDES,
    NO_SIDES,
    Question,
    Reading,
    Rule,
    Unread,
    items,
    part,
    texts,
    title,
)

GROUPS = ("projectcalico.org", "crd.projectcalico.org")
LAST = float("inf")
_ACTIONS: dict[str, Literal["allow", "deny", "pass"]] = {"Allow": "allow", "Deny": "deny", "Pass": "pass"}


def tiers(policies: Iterable[PolicySeen]) -> dict[str, tuple[float, bool]]:
    """Every tier that was seen: its order, and whether what its policies do not name ends there."""
    found = {"default": (readings.DEFAULT_TIER, True)}
    for seen in policies:
        if seen.group in GROUPS and seen.resource == "tiers":
            found[seen.name] = (number(seen.spec.get("order")), seen.spec.get("defaultAction") != "Pass")
    return found


def number(value: JsonValue) -> float:
    """An order; what has none comes last."""
    return float(value) if isinstance(value, int | float) else LAST


def read(question: Question) -> Reading | Unread | None:
    """What the policy says of the pod; None where it does not select it, or not in this direction."""
    spec = question.spec
    # These two kinds act on the interfaces of nodes alone.
    if spec.get("doNotTrack") or spec.get("preDNAT"):
        return None
    if question.direction.capitalize() not in types(spec) or not selects(question):
        return None
    tier = question.around.tiers.get(str(spec.get("tier") or "default"))
    name = title(question.policy)
    if tier is None:
        return Unread(name, f"its tier {spec.get('tier')} was not seen, so that its place in the order is not known")
    rules = tuple(_rule(rule, question) for rule in items(spec.get(question.direction)) if rule.get("action") != "Log")
    return Reading(name, tier[0], number(spec.get("order")), closes=tier[1], rules=rules)


def types(spec: dict[str, JsonValue]) -> list[str]:
    """Directions that a policy is about; Calico fills them in like this."""
    named = texts(spec.get("types"))
    if named:
        return named
    egress = ["Egress"] if spec.get("egress") else []
    return ["Ingress", *egress] if spec.get("ingress") or not egress else egress


def selects(question: Question) -> bool:
    """Whether the policy selects the pod."""
    policy, pod, spec = question.policy, question.pod, question.spec
    if policy.namespace not in ("", pod.namespace):
        return False
    around = question.around.namespace_labels(pod.namespace)
    return (
        parse(str(spec.get("selector") or "")).holds(pod_labels(pod.labels, pod.namespace, pod.service_account))
        and parse(str(spec.get("namespaceSelector") or "")).holds({**around, "projectcalico.org/name": pod.namespace})
        # The labels of accounts are not seen; their names are.
        and parse(str(spec.get("serviceAccountSelector") or "")).holds({"projectcalico.org/name": pod.service_account})
    )


def pod_labels(labels: Mapping[str, str], namespace: str, service_account: str) -> dict[str, str]:
    """The labels that Calico's selectors see of a pod."""
    return {
        **labels,
        "projectcalico.org/namespace": namespace,
        "projectcalico.org/orchestrator": "k8s",
        "projectcalico.org/serviceaccount": service_account,
    }


def _rule(rule: dict[str, JsonValue], question: Question) -> Rule:
    source, destination = part(rule.get("source")), part(rule.get("destination"))
    narrowed = bool(source or destination or set(rule) - {"action", "source", "destination", "metadata"})
    peer, toward = (source, "from") if question.direction == "ingress" else (destination, "to")
    who = ", ".join(f"{key} {_plain(value)}" for key, value in peer.items() if key != "ports") or "anywhere"
    ports = ", ".join(texts(destination.get("ports")))
    words = f"{toward} {who}" + (f" on {rule.get('protocol', 'any protocol')} {ports}".rstrip() if narrowed else "")
    action = _ACTIONS.get(str(rule.get("action")), "pass")
    # A selector there can mean pods, nodes and network sets alike.
    return Rule(action, ALL_SIDES, NO_SIDES if narrowed else ALL_SIDES, words)


def _plain(value: JsonValue) -> str:
    return ", ".join(texts(value)) if isinstance(value, list) else str(value)
