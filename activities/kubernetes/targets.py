"""Finding what is to be contained: the target itself and the pods that are part of it.

Owns what a name means, and which pods belong to a controller, namespace, node or service account. A pod that we have
relabelled matches its controller's selector no more and still belongs to it: a second look has to find it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from activities.killswitch.platform import TargetUnknown
from activities.kubernetes.calls import Calls, Raw
from activities.kubernetes.places import (
    CONTROLLERS,
    NAMESPACES,
    NODES,
    PODS,
    SERVICE_ACCOUNTS,
    Api,
    Place,
)
from activities.kubernetes.seen import FINISHED, controller_reference
from playbooks.kubernetes.marks import QUARANTINE
from playbooks.kubernetes.selectors import Requirement, requirements
from segmentation.workloads import ClusterRef

_APIS: dict[str, Api] = {
    "Pod": PODS, "Namespace": NAMESPACES, "Node": NODES, "ServiceAccount": SERVICE_ACCOUNTS, **CONTROLLERS,
}  # fmt: skip
_WIDE = frozenset({"Namespace", "Node"})
_LISTED = (PODS, SERVICE_ACCOUNTS, *(api for kind, api in CONTROLLERS.items() if kind != "ReplicationController"))
PERMISSIONS = (
    *(Place(api).permission("get") for api in (*_LISTED, NAMESPACES, NODES)),
    *(Place(api).permission("list") for api in _LISTED),
)


@dataclass(frozen=True)
class Found:
    """A target and its pods, as the API server has them. The reference is complete: its namespace is known."""

    reference: ClusterRef
    target: Raw
    pods: tuple[Raw, ...]


def find(calls: Calls, reference: ClusterRef, incident_id: str) -> Found:
    """The target, with every pod of it that runs or is going to.

    Raises:
        TargetUnknown: it is not there, has ended, or its name alone means several.
    """
    found = members(calls, reference, incident_id)
    running = tuple(pod for pod in found.pods if (pod.get("status") or {}).get("phase") not in FINISHED)
    if reference.resource == "Pod" and not running:
        raise TargetUnknown(
            f"Pod {_words(found.reference)} has ended ({found.target['status']['phase']}): nothing of it runs any more."
        )
    return replace(found, pods=running)


def members(calls: Calls, reference: ClusterRef, incident_id: str) -> Found:
    """The target with every pod of it, those that have ended among them.

    Raises:
        TargetUnknown: it is not there, or its name alone means several.
    """
    target = _one(calls, reference)
    namespace = "" if reference.resource in _WIDE else target["metadata"]["namespace"]
    found = reference.model_copy(update={"namespace": namespace})
    pods = _PODS.get(reference.resource, _of_controller)(calls, found, target, incident_id)
    return Found(found, target, tuple(pods))


def _one(calls: Calls, reference: ClusterRef) -> Raw:
    api = _APIS[reference.resource]
    if reference.namespace or reference.resource in _WIDE:
        namespace = "" if reference.resource in _WIDE else reference.namespace
        one = calls.get(Place(api, namespace, reference.name))
        found = [] if one is None else [one]
    else:
        found = calls.every(Place(api), fields=f"metadata.name={reference.name}")
    if len(found) > 1:
        places = ", ".join(sorted(one["metadata"]["namespace"] for one in found))
        raise TargetUnknown(
            f"{reference.resource} {reference.name} of {calls.cluster} is not one but {len(found)}, in {places}.",
            hint="Name its namespace too.",
        )
    if not found:
        raise TargetUnknown(
            f"There is no {reference.resource} {_words(reference)} in cluster {calls.cluster}.",
            hint="It is gone, or its name, namespace or cluster is another one.",
        )
    return found[0]


def _words(reference: ClusterRef) -> str:
    return f"{reference.namespace}/{reference.name}" if reference.namespace else reference.name


def _itself(_calls: Calls, _reference: ClusterRef, target: Raw, _incident_id: str) -> list[Raw]:
    return [target]


def _of_namespace(calls: Calls, reference: ClusterRef, _target: Raw, _incident_id: str) -> list[Raw]:
    return calls.every(Place(PODS, reference.name))


def _of_node(calls: Calls, reference: ClusterRef, _target: Raw, _incident_id: str) -> list[Raw]:
    return calls.every(Place(PODS), fields=f"spec.nodeName={reference.name}")


def _of_account(calls: Calls, reference: ClusterRef, _target: Raw, _incident_id: str) -> list[Raw]:
    return calls.every(Place(PODS, reference.namespace), fields=f"spec.serviceAccountName={reference.name}")


def _of_controller(calls: Calls, reference: ClusterRef, target: Raw, incident_id: str) -> list[Raw]:
    labels = ",".join(map(_text, requirements(target["spec"].get("selector"))))
    place = Place(PODS, reference.namespace)
    selected = calls.every(place, labels=labels)
    relabelled = calls.every(place, labels=f"{QUARANTINE}={incident_id}")
    owners = [target, *_replica_sets(calls, reference, target)]
    uids = {owner["metadata"]["uid"] for owner in owners}
    names = {f"{owner['metadata']['name']}-" for owner in owners}
    owned = [pod for pod in selected if controller_reference(pod).get("uid") in uids]
    # A controller lets go of a pod whose labels no longer match; what stays is the name it was generated from.
    released = [pod for pod in relabelled if _is_of(pod, uids, names)]
    return list({pod["metadata"]["uid"]: pod for pod in [*owned, *released]}.values())


def _is_of(pod: Raw, uids: set[str], names: set[str]) -> bool:
    owner = controller_reference(pod)
    return owner["uid"] in uids if owner else pod["metadata"].get("generateName") in names


def _replica_sets(calls: Calls, reference: ClusterRef, target: Raw) -> list[Raw]:
    if reference.resource != "Deployment":
        return []
    found = calls.every(Place(CONTROLLERS["ReplicaSet"], reference.namespace))
    return [one for one in found if controller_reference(one).get("uid") == target["metadata"]["uid"]]


def _text(need: Requirement) -> str:
    values = f"({','.join(need.values)})"
    forms = {"In": f"{need.key} in {values}", "NotIn": f"{need.key} notin {values}", "Exists": need.key}
    return forms.get(need.operator, f"!{need.key}")


_PODS: dict[str, Callable[[Calls, ClusterRef, Raw, str], list[Raw]]] = {
    "Pod": _itself, "Namespace": _of_namespace, "Node": _of_node, "ServiceAccount": _of_account,
}  # fmt: skip
