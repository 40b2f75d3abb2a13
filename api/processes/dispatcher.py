"""The dispatcher: brings committed alerts from the outbox to their incident's workflow.

Lives in the worker, so that a start is eager (the first workflow task comes back with the answer to the start, on the
same connection). Woken by a datagram after intake's commit; polls slowly in case a datagram was lost or intake runs
elsewhere. Temporal may be down: rows wait.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import structlog
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.contracts.incident import AlertBatch, IncidentStart
from activities.ledger.intake import Intake, PendingBatch
from workflows.incident import IncidentWorkflow

log = structlog.get_logger(__name__)
CONTROL_QUEUE = "control"
POLL_SECONDS = 1.0
BATCHES_PER_ROUND = 50
Describe = Callable[[PendingBatch], IncidentStart]


def wake_path(state_dir: Path) -> Path:
    """The datagram socket on which a dispatcher listens."""
    return state_dir / "dispatch.sock"


def wake(path: Path) -> None:
    """Tell the dispatcher that something was committed; nobody listening is fine, it polls too."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender,
        contextlib.suppress(OSError),
    ):
        sender.sendto(b"1", str(path))


class Dispatcher:
    """Starts or signals one workflow per incident with pending alerts."""

    def __init__(self, intake: Intake, client: Client, describe: Describe, state_dir: Path) -> None:
        self._intake = intake
        self._client = client
        self._describe = describe
        self._path = wake_path(state_dir)
        self._failures = 0

    async def run(self) -> None:
        """Dispatch until cancelled."""
        with self._listen() as wakeups:
            while True:
                try:
                    more = await self._round()
                    self._failures = 0
                except RPCError as error:
                    self._failures += 1
                    log.warning("temporal is away, alerts wait in the outbox", error=str(error))
                    more = False
                if not more:
                    await self._wait(wakeups)

    def _listen(self) -> socket.socket:
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        listener.bind(str(self._path))
        self._path.chmod(0o600)
        return listener

    async def _wait(self, wakeups: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await loop.sock_recv(wakeups, 64)
                while True:  # one round serves every commit before it
                    try:
                        wakeups.recv(64)
                    except BlockingIOError:
                        break

    async def _round(self) -> bool:
        batches = self._intake.pending(BATCHES_PER_ROUND)
        await asyncio.gather(*(self._dispatch(batch) for batch in batches))
        return len(batches) == BATCHES_PER_ROUND

    async def _dispatch(self, batch: PendingBatch) -> None:
        start = self._describe(batch)
        with structlog.contextvars.bound_contextvars(incident_id=batch.incident_id):
            if not await self._start(start) and not await self._signal(start.alerts, batch):
                return
            self._intake.mark_dispatched(batch.outbox_ids)
            log.info("alerts dispatched", count=batch.count)

    async def _start(self, start: IncidentStart) -> bool:
        """Start eagerly; False if the incident runs already."""
        try:
            await self._client.start_workflow(
                IncidentWorkflow.run,
                start,
                id=workflow_id(start.incident_id),
                task_queue=CONTROL_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                request_eager_start=True,
            )
        except WorkflowAlreadyStartedError:
            return False
        return True

    async def _signal(self, alerts: AlertBatch, batch: PendingBatch) -> bool:
        """Count repeats on a running incident; a closed one gives its alerts to the next incident of the key."""
        handle = self._client.get_workflow_handle(workflow_id(batch.incident_id))
        try:
            await handle.signal(IncidentWorkflow.alerts, alerts)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            self._intake.recorrelate(batch.outbox_ids)
            return False
        return True


def workflow_id(incident_id: str) -> str:
    """Workflow id of an incident."""
    return f"incident-{incident_id}"
