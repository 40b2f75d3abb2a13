"""Reading histories: which events, which commands, in which order."""

from typing import Any

from google.protobuf.json_format import MessageToDict
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle

Event = dict[str, Any]


async def events(handle: WorkflowHandle[Any, Any]) -> list[Event]:
    """Every event: its kind (`ActivityTaskScheduled`) and its attributes."""
    history = await handle.fetch_history()
    return [_plain(event) for event in history.events]


async def kinds(handle: WorkflowHandle[Any, Any]) -> list[str]:
    """The kinds of the events, in order."""
    return [event["kind"] for event in await events(handle)]


async def scheduled(handle: WorkflowHandle[Any, Any]) -> list[tuple[str, str]]:
    """Queue and verb of each activity, in the order in which they were ordered."""
    found = [e for e in await events(handle) if e["kind"] == "ACTIVITY_TASK_SCHEDULED"]
    return [(e["taskQueue"]["name"], e["activityType"]["name"]) for e in found]


def _plain(event: Any) -> Event:
    attributes = event.WhichOneof("attributes")
    plain: Event = MessageToDict(getattr(event, attributes)) if attributes else {}
    return {**plain, "kind": EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")}
