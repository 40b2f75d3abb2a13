"""Where the time of one containment went, hop by hop: from the workflow's history and the clocks of both ends.

Owns reading a history's times. All clocks are this machine's.
"""

import asyncio
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from activities.orders.codec import Seal, control_converter

HOPS = ("intake", "dispatch and start", "first workflow task", "delivery to the agent", "isolation on the host")


def hops_ms(
    state_dir: Path, temporal_address: str, workflow_id: str, sent_ns: int, received_at: datetime, blocked_ns: int
) -> dict[str, float]:
    """Milliseconds of each hop from `sent_ns` to `blocked_ns`."""
    times = asyncio.run(_times(state_dir, temporal_address, workflow_id))
    marks = [sent_ns / 1e6, received_at.timestamp() * 1e3, *times, blocked_ns / 1e6]
    return {name: later - earlier for name, (earlier, later) in zip(HOPS, pairwise(marks), strict=True)}


async def _times(state_dir: Path, address: str, workflow_id: str) -> list[float]:
    """Start of the workflow, and scheduling and start of its first activity, in ms since 1970."""
    seal = Seal((state_dir / "seal.secret").read_bytes())
    client = await Client.connect(address, data_converter=control_converter(seal, None, lambda _: None))
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    wanted = (
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED,
    )
    first = {kind: next(e for e in history.events if e.event_type == kind) for kind in wanted}
    return [first[kind].event_time.ToDatetime(tzinfo=UTC).timestamp() * 1e3 for kind in wanted]
