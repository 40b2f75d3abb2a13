"""What was done to the target, and what it did itself, by the record of the account's API.

Owns the collector `cloudtrail`. LookupEvents has the management events of the last 90 days; what data events there are
is in a trail's own bucket, which is not read here.
"""

from collections.abc import Iterator

from activities.aws.evidence_scene import Answer, Scene
from activities.contracts.evidence import Gap
from activities.evidence.platforms.collecting import Draft, Found, Task

# LookupEvents answers 50 at a time, twice a second (CloudTrail API).
MOST_EVENTS = 1000
PERMISSIONS = ("cloudtrail:LookupEvents", "iam:ListAccessKeys")


def collect(scene: Scene, task: Task) -> Iterator[Found]:
    """One document, newest first."""
    draft = Draft(bounds=f"since {task.since.isoformat()}, at most {MOST_EVENTS} events by each key")
    keys = [
        *_keys(scene),
        *(("AccessKeyId", one) for one in draft.part("access_keys", lambda: _access_keys(scene)) or ()),
    ]
    events: dict[str, Answer] = {}
    for attribute, value in keys:
        part, cuts = f"{attribute} {value}", len(draft.cut)
        found = draft.part(part, lambda a=attribute, v=value: _events(scene, draft, task, (a, v))) or []  # type: ignore[misc]
        # The same event is found by several of its keys.
        draft.parts[part] = [one["EventId"] for one in found]
        events |= {one["EventId"]: one for one in found}
        if len(draft.cut) > cuts:
            # What another key found says nothing of what this one left out.
            oldest = min((one["EventTime"] for one in found), default=draft.started)
            draft.gaps.append(Gap(started=task.since, ended=oldest, reason=draft.cut[-1]))
    draft.parts["events"] = sorted(events.values(), key=lambda one: str(one["EventTime"]), reverse=True)
    draft.events = len(events)
    yield draft.found("cloudtrail", scene.asked)


def _keys(scene: Scene) -> list[tuple[str, str]]:
    name = scene.place.name
    match scene.kind:
        case "ec2-instance":
            # A session of an instance's own role is called after the instance.
            return [("ResourceName", name), ("Username", name)]
        case "iam-user":
            return [("ResourceName", name), ("Username", name)]
        case "iam-role":
            arn = f"arn:aws:iam::{scene.place.account}:role/{name}"
            return [("ResourceName", name), ("ResourceName", arn)]
        case _:
            return [("ResourceName", name)]


def _access_keys(scene: Scene) -> list[str]:
    if scene.kind != "iam-user":
        return []
    answer = scene.ask("iam", "list_access_keys", UserName=scene.place.name)
    return [str(key["AccessKeyId"]) for key in answer["AccessKeyMetadata"]]


def _events(scene: Scene, draft: Draft, task: Task, key: tuple[str, str]) -> list[Answer]:
    attribute = [{"AttributeKey": key[0], "AttributeValue": key[1]}]
    call = ("cloudtrail", "lookup_events", "Events")
    return scene.pages(draft, call, MOST_EVENTS, task, LookupAttributes=attribute, StartTime=task.since)
