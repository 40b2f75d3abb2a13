"""The target as the API server has it, with what made it, where it runs and what lets traffic to it.

Owns the collector `objects`.
"""

from collections.abc import Iterator

from activities.evidence.platforms.collecting import Draft, Found, Task
from activities.kubernetes.calls import Raw
from activities.kubernetes.evidence_scene import Reader, Scene, name_of
from activities.kubernetes.places import (
    CONTROLLERS,
    NETWORK_POLICIES,
    NODES,
    SERVICE_ACCOUNTS,
    SERVICES,
    Api,
    Place,
)
from playbooks.kubernetes.selectors import matches

ENDPOINT_SLICES = Api("discovery.k8s.io", "v1", "endpointslices")
_SERVICE_NAME = "kubernetes.io/service-name"
# What a pod is made by is rarely deeper: a ReplicaSet of a Deployment.
_GENERATIONS = 4
PERMISSIONS = (
    *(Place(CONTROLLERS[kind]).permission("get") for kind in CONTROLLERS if kind != "ReplicationController"),
    *(Place(api).permission("get") for api in (NODES, SERVICE_ACCOUNTS)),
    *(Place(api).permission("list") for api in (NETWORK_POLICIES, SERVICES, ENDPOINT_SLICES)),
)


def collect(scene: Scene, task: Task) -> Iterator[Found]:
    """One document."""
    draft, reader = Draft(), scene.reader
    draft.part("target", lambda: scene.found().target)
    pods = draft.part("pods", lambda: scene.pods(draft)) or []
    task.tell(f"{len(pods)} pods")
    draft.part("owners", lambda: _owners(reader, pods))
    draft.part("nodes", lambda: _nodes(reader, pods))
    draft.part("service_accounts", lambda: _accounts(reader, pods))
    namespaces = sorted({pod["metadata"]["namespace"] for pod in pods})
    draft.part("network_policies", lambda: _policies(reader, draft, pods, namespaces))
    services = draft.part("services", lambda: _services(reader, draft, pods, namespaces)) or []
    draft.part("endpoint_slices", lambda: _endpoints(reader, draft, services))
    draft.events = len(pods) + ("target" in draft.parts)
    yield draft.found("objects", scene.asked)


def _owners(reader: Reader, pods: list[Raw]) -> dict[str, Raw]:
    """Who made them, and who made those; a kind that we can't read is named."""
    found: dict[str, Raw] = {}
    asked = list(pods)
    for _ in range(_GENERATIONS):
        following: list[Raw] = []
        for one in asked:
            for reference in one["metadata"].get("ownerReferences") or ():
                name = f"{reference['kind']} {one['metadata'].get('namespace', '')}/{reference['name']}"
                if name in found:
                    continue
                found[name] = _owner(reader, one, reference)
                following += [found[name]] if "metadata" in found[name] else []
        asked = following
    return found


def _owner(reader: Reader, owned: Raw, reference: Raw) -> Raw:
    api = CONTROLLERS.get(reference["kind"])
    if api is None or reference["kind"] == "ReplicationController":
        return {"not_read": "this kind is not collected", "reference": reference}
    found = reader.get(Place(api, owned["metadata"]["namespace"], reference["name"]))
    if found is None or found["metadata"]["uid"] != reference["uid"]:
        return {"not_read": "it is gone, or another one has its name", "reference": reference}
    return found


def _nodes(reader: Reader, pods: list[Raw]) -> dict[str, Raw | None]:
    names = sorted({pod["spec"].get("nodeName") or "" for pod in pods} - {""})
    return {name: reader.get(Place(NODES, name=name)) for name in names}


def _accounts(reader: Reader, pods: list[Raw]) -> dict[str, Raw | None]:
    names = sorted({(p["metadata"]["namespace"], p["spec"].get("serviceAccountName") or "default") for p in pods})
    return {f"{ns}/{name}": reader.get(Place(SERVICE_ACCOUNTS, ns, name)) for ns, name in names}


def _policies(reader: Reader, draft: Draft, pods: list[Raw], namespaces: list[str]) -> list[Raw]:
    return [
        one | {"selects": selected}
        for namespace in namespaces
        for one in reader.first(Place(NETWORK_POLICIES, namespace), draft)
        if (selected := _selected((one.get("spec") or {}).get("podSelector") or {}, namespace, pods))
    ]


def _services(reader: Reader, draft: Draft, pods: list[Raw], namespaces: list[str]) -> list[Raw]:
    return [
        one | {"selects": selected}
        for namespace in namespaces
        for one in reader.first(Place(SERVICES, namespace), draft)
        # Without a selector a Service has no pods of its own; its endpoints are somebody's.
        if (chosen := (one.get("spec") or {}).get("selector"))
        and (selected := _selected({"matchLabels": chosen}, namespace, pods))
    ]


def _selected(selector: Raw, namespace: str, pods: list[Raw]) -> list[str]:
    return [
        name_of(pod)
        for pod in pods
        if pod["metadata"]["namespace"] == namespace and matches(selector, pod["metadata"].get("labels") or {})
    ]


def _endpoints(reader: Reader, draft: Draft, services: list[Raw]) -> list[Raw]:
    return [
        found
        for one in services
        for found in reader.first(
            Place(ENDPOINT_SLICES, one["metadata"]["namespace"]),
            draft,
            labels=f"{_SERVICE_NAME}={one['metadata']['name']}",
        )
    ]
