"""One containment without an incident around it: a fifth of the work, where the incident is not what is tested."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from activities.contracts.incident import GateStatus, ReleaseRequest, TargetStatus
from activities.contracts.response import ContainStart
from playbooks.gates import Gate, GateSpec
from playbooks.host_isolation import plan_isolation
from playbooks.proof import Proof
from tests.workflows.case import Case, Handle
from tests.workflows.cast import GATE, contain_start, host_intent
from tests.workflows.history import kinds
from tests.workflows.waiting import eventually
from workflows.contain_target import ContainTargetWorkflow


async def contain(case: Case, **changes: Any) -> tuple[Handle, ContainStart]:
    """Start the containment of web."""
    start = contain_start(case.incident_id, case.hosts, **changes)
    handle = await case.client.start_workflow(
        ContainTargetWorkflow.run,
        start,
        id=case.handle(".contain.web").id,
        task_queue=case.queue,
    )
    return handle, start


async def ask(case: Case, spec: GateSpec = GATE, **changes: Any) -> GateStatus:
    """Start a containment behind a gate; returns the gate once it is open, with the plan as web has it now."""
    await case.work()
    await case.join(*case.hosts)
    handle, start = await contain(case, gate=spec, **changes)

    async def open_now() -> bool:
        return "TIMER_STARTED" in await kinds(handle)

    await eventually(open_now)
    change = plan_isolation(case.web.observation(), host_intent(start))
    gate = Gate(
        gate_id="contain.web",
        incident_id=start.incident_id,
        question="",
        plan_hash=change.plan_hash,
        plan=change.summary,
        spec=spec,
        requested_by=start.requested_by,
        opened_at=datetime.now(UTC),
    )
    return GateStatus(gate=gate, workflow_id=handle.id)


async def result(case: Case, gate: GateStatus) -> TargetStatus:
    """Where a containment ended."""
    handle = case.client.get_workflow_handle(gate.workflow_id, result_type=TargetStatus)
    status: TargetStatus = await asyncio.wait_for(handle.result(), 10)
    return status


async def proof_of(case: Case, **changes: Any) -> Proof:
    """What is proven of an isolation of web in one round of questions; it is released after them."""
    handle, _ = await contain(case, gate=None, **changes)
    await eventually(lambda: case.web.isolated)
    await handle.signal(ContainTargetWorkflow.release, ReleaseRequest(actor="ana", reason="that was all"))
    status: TargetStatus = await asyncio.wait_for(handle.result(), 10)
    assert status.proof is not None
    return status.proof
