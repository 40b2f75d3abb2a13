"""What the cluster said happened to the target, its pods and what made them.

Owns the collector `events`. A cluster keeps them for an hour unless it is told otherwise (kube-apiserver --event-ttl).
"""

from collections.abc import Iterator
from datetime import datetime

from activities.contracts.evidence import Gap
from activities.evidence.platforms.collecting import Draft, Found, Task
from activities.killswitch.platform import TargetUnknown
from activities.kubernetes.calls import Raw
from activities.kubernetes.evidence_scene import Scene
from activities.kubernetes.places import Api, Place

EVENTS = Api("", "v1", "events")
PERMISSIONS = (Place(EVENTS).permission("list"),)
# Events about what is in no namespace are kept in this one.
_CLUSTER_WIDE = "default"


def collect(scene: Scene, task: Task) -> Iterator[Found]:
    """One document."""
    draft = Draft()
    events = draft.part("events", lambda: _events(scene, draft)) or []
    draft.events = len(events)
    task.tell(f"{len(events)} events")
    oldest = min((moment for one in events if (moment := _first_seen(one))), default=None)
    if oldest is not None and oldest > task.since:
        draft.gaps.append(Gap(started=task.since, ended=oldest, reason="no event that old is kept, or there was none"))
    yield draft.found("events", scene.asked)


def _events(scene: Scene, draft: Draft) -> list[Raw]:
    reader, reference = scene.reader, scene.reference
    if reference.resource == "Namespace":
        return reader.first(Place(EVENTS, reference.name), draft)
    found: dict[str, Raw] = {}
    for namespace, kind, name in _about(scene, draft):
        fields = f"involvedObject.kind={kind},involvedObject.name={name}"
        for one in reader.first(Place(EVENTS, namespace), draft, fields=fields):
            found[one["metadata"]["uid"]] = one
    return list(found.values())


def _about(scene: Scene, draft: Draft) -> list[tuple[str, str, str]]:
    """Namespace, kind and name of what events are asked for; of a target that is gone, still its name."""
    reference = scene.reference
    about: set[tuple[str, str, str]] = {(scene.namespace or _CLUSTER_WIDE, reference.resource, reference.name)}
    try:
        pods = scene.pods(draft)
    except TargetUnknown as error:
        draft.problems.append(f"pods: {error.summary}")
        pods = []
    for pod in pods:
        namespace = pod["metadata"]["namespace"]
        about.add((namespace, "Pod", pod["metadata"]["name"]))
        owners = pod["metadata"].get("ownerReferences") or ()
        about |= {(namespace, str(owner["kind"]), str(owner["name"])) for owner in owners}
    return sorted(about)


def _first_seen(event: Raw) -> datetime | None:
    said = event.get("firstTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    return datetime.fromisoformat(said) if said else None
