"""Which images the containers run: what was asked for, and the digest of what the node really took.

Owns the collector `images`. A tag can be moved after the fact; the digest in the status can't.
"""

from collections.abc import Iterator
from typing import Any

from activities.evidence.platforms.collecting import Draft, Found, Task
from activities.kubernetes.calls import Raw
from activities.kubernetes.evidence_scene import Scene, containers_of, name_of

PERMISSIONS: tuple[str, ...] = ()


def collect(scene: Scene, task: Task) -> Iterator[Found]:
    """One document, a line for each container."""
    draft = Draft()
    images = draft.part("containers", lambda: [line for pod in scene.pods(draft) for line in _lines(pod)]) or []
    draft.events = len(images)
    task.tell(f"{len(images)} containers")
    yield draft.found("images", scene.asked)


def _lines(pod: Raw) -> list[dict[str, Any]]:
    return [_line(pod, kind, spec, status) for kind, spec, status in containers_of(pod)]


def _line(pod: Raw, kind: str, spec: Raw, status: Raw) -> dict[str, Any]:
    wanted, ran = str(spec.get("image", "")), str(status.get("imageID", ""))
    pinned, digest = _digest(wanted), _digest(ran)
    return {
        "pod": name_of(pod),
        "container": spec["name"],
        "kind": kind,
        "image_wanted": wanted,
        "image_ran": status.get("image", ""),
        "image_id": ran,
        "digest": digest,
        "pinned": bool(pinned),
        "as_wanted": pinned == digest if pinned and digest else None,
        "container_id": status.get("containerID", ""),
        "restarts": status.get("restartCount", 0),
        "state": status.get("state", {}),
        "last_state": status.get("lastState", {}),
    }


def _digest(image: str) -> str:
    return image.partition("@")[2] or (image if image.startswith("sha256:") else "")
