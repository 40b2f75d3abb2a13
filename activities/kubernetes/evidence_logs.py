"""What the containers wrote: each log as bytes, of the container as it runs and of the one before its last restart.

Owns the collector `logs`. Bounded for each log; what lies beyond the bound is recorded as a gap.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from activities.contracts.evidence import Gap, Outcome
from activities.evidence.platforms.collecting import TEXT_MEDIA_TYPE, Draft, Found, Task
from activities.kubernetes.calls import Raw
from activities.kubernetes.evidence_scene import Scene, containers_of, name_of
from activities.kubernetes.places import PODS, Place
from segmentation.bounds import cut
from segmentation.errors import FirebreakError

MAX_LOG_BYTES = 4 << 20
_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
PERMISSIONS = (Place(PODS, subresource="log").permission("get"),)


def collect(scene: Scene, task: Task) -> Iterator[Found]:
    """One item for each log, and a list of all containers that says what became of each."""
    draft = Draft()
    pods = draft.part("pods", lambda: scene.pods(draft)) or []
    lines: list[Raw] = []
    for pod in pods:
        for kind, spec, status in containers_of(pod):
            for which in ("current", "previous"):
                found, said = _log(scene, task, (pod, spec["name"], status), which)
                lines.append({"pod": name_of(pod), "container": spec["name"], "kind": kind, "log": which, **said})
                if found is not None:
                    yield found
    # The pods themselves are in `objects`.
    draft.parts["pods"] = [name_of(pod) for pod in pods]
    draft.parts["logs"] = lines
    draft.bounds = f"{draft.bounds}, {MAX_LOG_BYTES} bytes of a log, since {task.since.isoformat()}"
    draft.events = len(lines)
    yield draft.found("logs", scene.asked)


def _log(scene: Scene, task: Task, whose: tuple[Raw, str, Raw], which: str) -> tuple[Found | None, Raw]:
    pod, container, status = whose
    label = f"log.{name_of(pod).replace('/', '.')}.{container}.{which}"
    if which == "previous" and not (status.get("lastState") or {}).get("terminated"):
        return None, {"state": "empty", "reason": "it was not restarted"}
    if task.is_kept(label):
        return None, {"state": "collected", "reason": "by an earlier try", "label": label}
    if not task.remaining_seconds:
        return None, {"state": "missing", "reason": "the time budget was spent before its turn"}
    task.tell(label)
    place = Place(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"], "log")
    query = {
        "container": container,
        "previous": "true" if which == "previous" else "",
        "timestamps": "true",
        "sinceTime": task.since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "limitBytes": str(MAX_LOG_BYTES),
    }
    asked = f"get {place.path} " + "&".join(f"{name}={value}" for name, value in query.items() if value)
    try:
        content = scene.reader.content(place, query)
    except FirebreakError as error:
        outcome = Outcome(state="failed", reason=cut(error.summary))
        return Found(label, outcome, calls=(asked,)), {"state": "failed", "reason": error.summary, "label": label}
    found = _found(label, content, asked)
    return found, {"state": found.outcome.state, "reason": found.outcome.reason, "label": label, "bytes": len(content)}


def _found(label: str, content: bytes, asked: str) -> Found:
    bounds = f"at most {MAX_LOG_BYTES} bytes, from the beginning of the time of interest on"
    gaps: tuple[Gap, ...] = ()
    if not content:
        outcome = Outcome(state="empty", reason="nothing was written since")
    elif len(content) >= MAX_LOG_BYTES:
        reason = f"the log goes on after the {MAX_LOG_BYTES} bytes that were asked for"
        outcome, gaps = Outcome(state="truncated", reason=reason), _after(content, reason)
    else:
        outcome = Outcome(state="collected")
    return Found(
        label=label,
        outcome=outcome,
        content=content or None,
        media_type=TEXT_MEDIA_TYPE,
        suffix="log",
        calls=(asked,),
        bounds=bounds,
        events=content.count(b"\n"),
        gaps=gaps,
    )


def _after(content: bytes, reason: str) -> tuple[Gap, ...]:
    """From the last whole line on nothing is known."""
    last = content.rsplit(b"\n", 2)[-2 if content.count(b"\n") > 1 else 0]
    found = _STAMP.match(last)
    if found is None:
        return ()
    # Nanoseconds are more than a datetime holds.
    said = re.sub(r"(\.\d{6})\d+", r"\1", found[0].decode("ascii"))
    return (Gap(started=datetime.fromisoformat(said), ended=datetime.now(UTC), reason=reason),)
