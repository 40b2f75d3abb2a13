"""The durable floor: what one durable order costs here, whatever it does.

Owns measuring eager start -> one empty activity on an agent's queue, on the same server, codec and agent as the real
thing. Time to contain is judged against it.
"""

import asyncio
import time
import uuid
from pathlib import Path

from temporalio.client import Client
from temporalio.worker import Worker

from activities.orders.codec import Seal, control_converter
from activities.orders.keys import load_key
from segmentation.workloads import Workload
from workflows.ping_host import PingHostWorkflow

QUEUE = "floor"


def measure_floor(state_dir: Path, temporal_address: str, host: Workload, count: int = 20) -> list[float]:
    """Milliseconds from the start to the activity's first line, `count` times, after three that warm up."""
    return asyncio.run(_measure(state_dir, temporal_address, host, count))


async def _measure(state_dir: Path, address: str, host: Workload, count: int) -> list[float]:
    seal = Seal((state_dir / "seal.secret").read_bytes())
    # The floor is about time, not about who answers: no host key is looked up.
    converter = control_converter(seal, load_key(state_dir / "control.key"), lambda _: None)
    client = await Client.connect(address, data_converter=converter)
    async with Worker(client, task_queue=QUEUE, workflows=[PingHostWorkflow]):
        await asyncio.sleep(0.5)  # pollers connect in the background and say nothing when they have
        warm = [await _once(client, host) for _ in range(3)]
        return [await _once(client, host) for _ in range(count)] if warm else []


async def _once(client: Client, host: Workload) -> float:
    started = time.time()
    handle = await client.start_workflow(
        PingHostWorkflow.run, host, id=f"floor-{uuid.uuid4()}", task_queue=QUEUE, request_eager_start=True
    )
    pinged = await handle.result()
    await asyncio.sleep(0.05)  # the way back of one must not slow the next
    return (pinged.at.timestamp() - started) * 1000
