"""What denies everything to and from pods, for each mechanism.

Owns the specs, complete as the API server returns them, so that what is read back compares equal.

    denials(choice, Scope(namespace="shop", selector={"matchLabels": quarantine("inc-1")}), Making("inc-1", name))
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import JsonValue

from playbooks.kubernetes import calico_policies
from playbooks.kubernetes.calico_selectors import written
from playbooks.kubernetes.marks import INCIDENT, marked
from playbooks.kubernetes.mechanisms import Api, Choice
from playbooks.kubernetes.objects import OurObject, Scope
from playbooks.kubernetes.observation import PolicySeen
from playbooks.kubernetes.selectors import is_everything

NETWORK_POLICY = Api(group="networking.k8s.io", version="v1", plural="networkpolicies")
_EVERY_ADDRESS: list[JsonValue] = ["0.0.0.0/0", "::/0"]
_BOTH: list[JsonValue] = ["Ingress", "Egress"]
_DENY_ALL: dict[str, JsonValue] = {"action": "Deny", "destination": {}, "source": {}}


@dataclass(frozen=True)
class Making:
    """For whom objects are made, and among which.

    `tiered`: Calico serves tiers, as it does since 3.29.
    """

    incident_id: str
    name: str
    policies: tuple[PolicySeen, ...] = ()
    tiered: bool = True


def denials(choice: Choice, scope: Scope, making: Making) -> tuple[OurObject, ...]:
    """What denies everything to and from a scope."""
    match choice.mechanism:
        case "admin-network-policy":
            # Its rules can't name sources outside the cluster: those are left to the NetworkPolicy beside it.
            return (_network_policy(scope, making), _admin(choice.api, scope, making))
        case "cilium":
            return (_cilium(choice.api, scope, making),)
        case "calico":
            return calico(choice.api, _calico_selector(scope), scope.words, making)
        case "network-policy":
            return (_network_policy(scope, making),)


def _network_policy(scope: Scope, making: Making) -> OurObject:
    """Permits nothing; isolates what no other NetworkPolicy permits."""
    return OurObject(
        api=NETWORK_POLICY,
        kind="NetworkPolicy",
        namespace=scope.namespace,
        name=making.name,
        spec={"podSelector": scope.selector, "policyTypes": _BOTH},
        labels=marked(making.incident_id),
        words=f"a NetworkPolicy that permits nothing to and from {scope.words}",
    )


def _admin(api: Api, scope: Scope, making: Making) -> OurObject:
    clusterwide = api.plural == "clusternetworkpolicies"
    here: JsonValue = {"matchLabels": {"kubernetes.io/metadata.name": scope.namespace}}
    subject: JsonValue = {"pods": {"namespaceSelector": here, "podSelector": scope.selector}}
    spec: dict[str, JsonValue] = {
        "priority": 0,
        "subject": {"namespaces": here} if is_everything(scope.selector) else subject,
        "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}],
        "egress": [{"action": "Deny", "to": [{"namespaces": {}}, {"networks": _EVERY_ADDRESS}]}],
    }
    kind = "ClusterNetworkPolicy" if clusterwide else "AdminNetworkPolicy"
    return OurObject(
        api=api,
        kind=kind,
        name=making.name,
        spec={**spec, "tier": "Admin"} if clusterwide else spec,
        labels=marked(making.incident_id),
        words=f"{kind} of priority 0 that denies {scope.words} every pod as source and every address as destination",
    )


def _cilium(api: Api, scope: Scope, making: Making) -> OurObject:
    return OurObject(
        api=api,
        kind="CiliumNetworkPolicy",
        namespace=scope.namespace,
        name=making.name,
        spec={
            "endpointSelector": scope.selector,
            "ingressDeny": [{"fromEntities": ["all"]}],
            "egressDeny": [{"toEntities": ["all"]}],
        },
        labels=marked(making.incident_id),
        words=f"a CiliumNetworkPolicy that denies everything to and from {scope.words}",
    )


def _calico_selector(scope: Scope) -> str:
    here = f"projectcalico.org/namespace == '{scope.namespace}'"
    return here if is_everything(scope.selector) else f"{here} && {written(scope.selector)}"


def calico(
    api: Api, selector: str, words: str, making: Making, lifeline: Iterable[dict[str, JsonValue]] = ()
) -> tuple[OurObject, ...]:
    """A policy that denies everything before all others are asked: in a tier of its own, or first in the default one.

    `lifeline`: egress rules that come before the denial.
    """
    others = [policy for policy in making.policies if INCIDENT not in policy.labels]
    spec: dict[str, JsonValue] = {
        "order": 0 if making.tiered else _before(others, "globalnetworkpolicies", "networkpolicies"),
        "selector": selector,
        "types": _BOTH,
        "ingress": [_DENY_ALL],
        "egress": [*lifeline, _DENY_ALL],
    }
    policy = OurObject(
        api=api,
        kind="GlobalNetworkPolicy",
        name=_calico_name(api, making),
        spec={**spec, "tier": making.name} if making.tiered else spec,
        labels=marked(making.incident_id),
        words=f"a GlobalNetworkPolicy that denies everything to and from {words}",
    )
    return (_tier(api, making, others), policy) if making.tiered else (policy,)


def _calico_name(api: Api, making: Making) -> str:
    # Calico stores a policy under its tier's name and its own; its API server asks for that in all but `default`.
    if making.tiered:
        return f"{making.name}.{making.name}"
    return making.name if api.group == "projectcalico.org" else f"default.{making.name}"


def _tier(api: Api, making: Making, others: list[PolicySeen]) -> OurObject:
    order = _before(others, "tiers")
    return OurObject(
        api=Api(group=api.group, version=api.version, plural="tiers"),
        kind="Tier",
        name=making.name,
        spec={"order": order, "defaultAction": "Deny"},
        labels=marked(making.incident_id),
        words=f"a tier of Calico of order {order}, before every other",
    )


def _before(others: list[PolicySeen], *resources: str) -> int:
    """An order before those of others. Ours deny everything as well: which of them comes first does not matter."""
    theirs = (p for p in others if p.group in calico_policies.GROUPS and p.resource in resources)
    orders = (calico_policies.number(policy.spec.get("order")) for policy in theirs)
    return math.floor(min([0.0, *(order for order in orders if math.isfinite(order))])) - 1
