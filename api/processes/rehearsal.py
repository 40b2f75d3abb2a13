"""A rehearsal of an incident's first step when a worker starts.

Owns one workflow run that is built like a real incident and ends before its first order. What every process pays once
(sandbox, models, connections) is then paid before anybody waits for it: measured, the first incident of a cold worker
took three times as long to its first order. Orders nothing, records nothing.
"""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import structlog
from temporalio.client import Client

from activities.contracts.incident import AlertBatch, IncidentStart
from api.processes.dispatcher import CONTROL_QUEUE
from playbooks.alerts import Alert, ReceivedAlert, Rule
from playbooks.host_isolation import LifelineEndpoint
from playbooks.playbook import Playbook
from segmentation.workloads import Workload
from workflows.incident import IncidentWorkflow

log = structlog.get_logger(__name__)
TIMES = 3
PATIENCE = timedelta(seconds=20)


async def rehearse(client: Client, playbooks: Sequence[Playbook]) -> None:
    """Run it some times; a rehearsal that does not end in time is given up, since real incidents are waiting."""
    started = datetime.now(UTC)
    for _ in range(TIMES if playbooks else 0):
        start = example(playbooks[0])
        await client.execute_workflow(
            IncidentWorkflow.run,
            start,
            id=f"rehearsal-{uuid.uuid4()}",
            task_queue=CONTROL_QUEUE,
            request_eager_start=True,
            execution_timeout=PATIENCE,
        )
    log.info("rehearsed", seconds=round((datetime.now(UTC) - started).total_seconds(), 2))


def example(playbook: Playbook) -> IncidentStart:
    """An incident as full as a real one, about hosts that do not exist (RFC 5737 addresses)."""
    now = datetime.now(UTC)
    hosts = tuple(
        Workload(workload_id=f"rehearsal-{n}", name=f"rehearsal-{n}", addresses=(ip_address(f"192.0.2.{n}"),))
        for n in (1, 2, 3)
    )
    alert = Alert(rule=Rule(name="rehearsal"))
    received = ReceivedAlert(webhook_id="rehearsal", source="rehearsal", signed=True, received_at=now, alert=alert)
    return IncidentStart(
        incident_id="rehearsal",
        correlation_key="rehearsal",
        alerts=AlertBatch(ids=(1,), first=received, last_received_at=now),
        playbook=playbook,
        targets=hosts[:1],
        witnesses=hosts[1:],
        lifeline=(LifelineEndpoint(purpose="temporal", address=ip_address("192.0.2.9"), port=7233),),
        rehearsal=True,
    )
