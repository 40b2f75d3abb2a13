"""From what the API server returns to what is observed.

Owns the mapping of fields, one function a shape. Never asks for anything.
"""

from typing import Any

from activities.kubernetes import apis
from activities.kubernetes.calls import Raw
from activities.kubernetes.holding import held_by_others
from activities.kubernetes.places import Api
from playbooks.kubernetes.observation import BindingSeen, NodeSeen, PodSeen, PolicySeen, SelectorSeen

FINISHED = frozenset({"Succeeded", "Failed"})


def pod_seen(found: Raw, holder: str = "") -> PodSeen:
    """A pod, as it is for one who may hold it with others."""
    metadata, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    addresses = [one["ip"] for one in status.get("podIPs") or () if one.get("ip")]
    return PodSeen(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        labels=metadata.get("labels") or {},
        addresses=tuple(addresses or filter(None, [status.get("podIP")])),
        host_network=bool(spec.get("hostNetwork", False)),
        node=spec.get("nodeName") or "",
        service_account=spec.get("serviceAccountName") or "default",
        controller=owner_of(found),
        held=held_by_others(holder, found),
    )


def owner_of(found: Raw) -> str:
    """`Kind/name` of the controlling owner; empty: nobody's."""
    owner = controller_reference(found)
    return f"{owner['kind']}/{owner['name']}" if owner else ""


def controller_reference(found: Raw) -> Raw:
    """The owner reference of the controller; empty: none."""
    references: list[Raw] = found["metadata"].get("ownerReferences") or []
    return next((one for one in references if one.get("controller")), {})


def policy_seen(api: Api, found: Raw) -> PolicySeen:
    """A policy of any kind."""
    metadata = found["metadata"]
    return PolicySeen(
        group=api.group,
        version=api.version,
        resource=api.plural,
        kind=apis.KINDS[api.plural],
        namespace=metadata.get("namespace") or "",
        name=metadata["name"],
        labels=metadata.get("labels") or {},
        spec=_spec(found),
    )


def _spec(found: Raw) -> Raw:
    """A policy of Cilium may have several specs, in a list beside or instead of the one; they add up."""
    spec: Raw = found.get("spec") or {}
    several = found.get("specs") or []
    return {"specs": [*([spec] if spec else []), *several]} if several else spec


def selector_seen(kind: Any, found: Raw) -> SelectorSeen:
    """A Service or controller."""
    spec = found.get("spec") or {}
    selector = spec.get("selector") or {}
    return SelectorSeen(
        kind=kind,
        namespace=found["metadata"]["namespace"],
        name=found["metadata"]["name"],
        selector={"matchLabels": selector} if kind == "ReplicationController" else selector,
        replicas=spec.get("replicas"),
        owner=owner_of(found),
    )


def node_seen(found: Raw, holder: str = "") -> NodeSeen:
    """A node, as it is for one who may hold it with others."""
    status = found.get("status") or {}
    return NodeSeen(
        name=found["metadata"]["name"],
        labels=found["metadata"].get("labels") or {},
        unschedulable=bool((found.get("spec") or {}).get("unschedulable", False)),
        addresses=tuple(one["address"] for one in status.get("addresses") or () if one["type"].endswith("IP")),
        machine_id=(status.get("nodeInfo") or {}).get("machineID") or "",
        held=held_by_others(holder, found),
    )


def binding_seen(kind: Any, found: Raw) -> BindingSeen:
    """A binding."""
    return BindingSeen(
        kind=kind,
        namespace=found["metadata"].get("namespace") or "",
        name=found["metadata"]["name"],
        subjects=tuple(found.get("subjects") or ()),
    )
