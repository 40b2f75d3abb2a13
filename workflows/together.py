"""Several targets behind one gate: planned side by side, shown as one plan, decided once.

Owns the gate that covers them. One that could not be planned holds up nobody: it is left to a containment of its own.
"""

import asyncio
from collections.abc import Sequence

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.response import ContainStart, Planned
    from playbooks.canonical import digest
    from playbooks.gates import Gate, GateSpec

from workflows.choosing import switch_of
from workflows.orders import Orders
from workflows.switches import PATIENCE

Plan = tuple[ContainStart, Planned]


async def plan_all(starts: Sequence[ContainStart], orders: Orders) -> tuple[list[Plan], list[ContainStart]]:
    """Those that could be planned with their plan, and those that could not."""
    tasks = (switch_of(start, orders).plan(PATIENCE / 10) for start in starts)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    planned: list[Plan] = []
    others: list[ContainStart] = []
    for start, plan in zip(starts, found, strict=True):
        if isinstance(plan, Planned):
            planned.append((start, plan))
        elif isinstance(plan, FailureError):
            others.append(start)
        else:
            raise plan
    return planned, others


def gate_of(plans: Sequence[Plan], spec: GateSpec, reason: str, group: int) -> Gate:
    """One question about all of a group; its hash covers the plan of each."""
    first = plans[0][0]
    hashes = {start.target.workload_id: plan.change.plan_hash for start, plan in plans}
    names = ", ".join(start.target.name for start, _ in plans)
    return Gate(
        gate_id=f"contain.group-{group}" if group > 1 else "contain",
        incident_id=first.incident_id,
        question=f"Isolate {len(plans)} targets: {names}? {reason}.",
        plan_hash=digest(hashes),
        plan=tuple(f"{start.target.name}: {words}" for start, plan in plans for words in plan.change.summary),
        spec=spec,
        requested_by=first.requested_by,
        opened_at=workflow.now(),
    )
