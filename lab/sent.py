"""When our own detection sent its webhook: read from the history of the run that sent it.

Owns that one look-up. The clock is the sender's, taken just before the request.
"""

import asyncio
from datetime import datetime
from pathlib import Path

from temporalio.client import Client, WorkflowExecutionStatus

from activities.orders.codec import Seal, control_converter
from lab.errors import LabError
from workflows.detect import DetectWorkflow


def webhook_sent_at(state_dir: Path, temporal_address: str, webhook_id: str) -> datetime:
    """When the first message of this id was sent."""
    return asyncio.run(_look_up(state_dir, temporal_address, webhook_id))


async def _look_up(state_dir: Path, address: str, webhook_id: str) -> datetime:
    seal = Seal((state_dir / "seal.secret").read_bytes())
    client = await Client.connect(address, data_converter=control_converter(seal, None, lambda _: None))
    moments = []
    async for run in client.list_workflows("WorkflowType = 'DetectWorkflow'"):
        if run.status != WorkflowExecutionStatus.COMPLETED:
            continue
        handle = client.get_workflow_handle_for(DetectWorkflow.run, run.id, run_id=run.run_id)
        done = await handle.result(follow_runs=False)
        moments += [f.sent_at for f in done.findings if f.webhook_id == webhook_id]
    if not moments:
        raise LabError(f"no run of the detections sent {webhook_id}")
    return min(moments)
