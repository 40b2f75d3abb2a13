"""Several targets behind one gate: planned side by side, shown as one plan, decided once.

Owns the gate that covers them, and what follows from its outcome. One that could not be planned holds up nobody: it is
left to a containment of its own.
"""

import asyncio
from collections.abc import Callable, Sequence

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.incident import TargetStatus
    from activities.contracts.response import ContainStart, Planned
    from playbooks.canonical import digest
    from playbooks.gates import Gate, GateSpec
    from playbooks.host_isolation import HostObservation
    from playbooks.planning import as_observed
    from playbooks.triage import Route
    from segmentation.workloads import Workload

from workflows.choosing import switch_of
from workflows.gates import Gatekeeper
from workflows.leases import Leases
from workflows.orders import Orders
from workflows.record import IncidentRecord
from workflows.switches import PATIENCE

Plan = tuple[ContainStart, Planned]
# The gate of a target as it was observed.
GateOf = Callable[[Workload], GateSpec | None]


class Together:
    """The questions of one incident that are about several targets."""

    def __init__(self, leases: Leases, record: IncidentRecord, people: Gatekeeper, orders: Orders) -> None:
        self._leases = leases
        self._record = record
        self._gatekeeper = people
        self._orders = orders

    async def contain(self, starts: Sequence[ContainStart], route: Route, group: int, seen_gate: GateOf) -> None:
        """Ask about all of them at once, and have those held that people approve."""
        names = ", ".join(start.target.name for start in starts)
        self._record.note("route-chosen", f"{names}: {route.way}, because {route.reason}.")
        plans, unplanned = await _plan_all(starts, self._orders)
        rest = asyncio.gather(*(self._leases.hold(start) for start in unplanned))
        # What only the platform knew of a target may protect it more than the gate of the others does.
        apart = [(s, p) for s, p in plans if seen_gate(as_seen(s.target, p)) != route.gate]
        alone = asyncio.gather(*(self._leases.hold(start) for start, _ in apart))
        plans = [plan for plan in plans if plan not in apart]
        if plans and route.gate is not None:
            await self._ask_about(plans, _gate_of(plans, route.gate, route.reason, group))
        await asyncio.gather(rest, alone)

    async def _ask_about(self, plans: list[Plan], gate: Gate) -> None:
        for start, plan in plans:
            self._record.set_target(TargetStatus(workload=start.target, state="awaiting-decision", change=plan.change))
        approved = await self._gatekeeper.ask(gate) == "approved"
        await asyncio.gather(*(self._decided(start, plan, approved=approved) for start, plan in plans))

    async def _decided(self, start: ContainStart, plan: Planned, *, approved: bool) -> None:
        if approved:
            await self._leases.hold(start.model_copy(update={"planned": plan, "approved": True}))
            return
        reason = self._gatekeeper.restrained_by or "people or the deadline denied the plan"
        denied = TargetStatus(workload=start.target, state="denied", change=plan.change, reason=reason)
        self._record.set_target(denied)
        self._record.note("target-denied", f"{start.target.name} is denied: {reason}.")


def by_gate(targets: Sequence[Workload], routes: dict[str, Route]) -> list[list[Workload]]:
    """Those that people decide on, together with the others of one and the same gate."""
    groups: dict[str, list[Workload]] = {}
    for target in targets:
        route = routes[target.workload_id]
        if route.way == "people-decide":
            groups.setdefault(str(route), []).append(target)
    return list(groups.values())


def as_seen(target: Workload, planned: Planned) -> Workload:
    """What is known of the target since it was observed; of a host nothing new."""
    seen = planned.observation
    return target if isinstance(seen, HostObservation) else as_observed(target, seen)


async def _plan_all(starts: Sequence[ContainStart], orders: Orders) -> tuple[list[Plan], list[ContainStart]]:
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


def _gate_of(plans: Sequence[Plan], spec: GateSpec, reason: str, group: int) -> Gate:
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
