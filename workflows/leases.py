"""The children that hold the leases of one incident's targets.

Owns starting them, hearing how they end, and asking them to let go. What a child does is in
`workflows.contain_target`.
"""

import asyncio
from typing import Any, Literal

from temporalio import workflow
from temporalio.exceptions import ChildWorkflowError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.incident import ReleaseRequest, TargetStatus
    from activities.contracts.response import ContainStart
    from segmentation.workloads import Workload

from workflows.orders import reason_of
from workflows.record import IncidentRecord

HELD = {"isolated"}
# A containment that is still being tried is given up by the same request.
RELEASABLE = {"isolated", "applying"}
SETTLED = {"isolated", "denied", "rolled-back", "failed", "released", "expired"}


class Leases:
    """Who holds what of one incident."""

    def __init__(self, targets: tuple[Workload, ...], ends: Literal["open", "closed"], record: IncidentRecord) -> None:
        self._targets = targets
        self._ends = ends
        self._record = record
        self._children: dict[str, workflow.ChildWorkflowHandle[Any, TargetStatus]] = {}
        self._watching: list[asyncio.Task[None]] = []

    async def hold(self, start: ContainStart) -> None:
        """Have a child contain the target, or take over what stands."""
        target = start.target
        child_id = f"{workflow.info().workflow_id}.contain.{target.workload_id}"
        child: workflow.ChildWorkflowHandle[Any, TargetStatus] = await workflow.start_child_workflow(
            "ContainTargetWorkflow",
            start,
            id=child_id,
            result_type=TargetStatus,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )
        self._children[target.workload_id] = child
        self._watching.append(asyncio.create_task(self._watch(target, child)))

    async def _watch(self, target: Workload, child: workflow.ChildWorkflowHandle[Any, TargetStatus]) -> None:
        """Hear how the child ended, also where it could not say so: nobody waits for what nobody holds."""
        try:
            last = await child
        except ChildWorkflowError as error:
            await self._outlive(target, _no_holder(error))
            return
        if last != self.status_of(target):
            self._record.set_target(last)

    async def _outlive(self, target: Workload, problem: str) -> None:
        """Whoever held the lease was ended: what was applied stands until its dead-man lets go."""
        status = self.status_of(target) or TargetStatus(workload=target, state="planned")
        self._record.note("lease-unheld", f"{target.name}: {problem}.")
        if status.state not in HELD:
            if status.state not in SETTLED:
                self._record.set_target(status.model_copy(update={"state": "failed", "reason": problem}))
            return
        self._record.set_target(status.model_copy(update={"reason": problem, "release_problem": problem}))
        if self._ends == "closed" or status.workload.kind != "host" or status.lease_until is None:
            return
        await workflow.sleep(max((status.lease_until - workflow.now()).total_seconds(), 0))
        reason = f"{problem}; its dead-man has let go"
        self._record.set_target(status.model_copy(update={"state": "expired", "reason": reason}))
        self._record.note("target-expired", f"{target.name} is expired: {reason}.")

    async def release(self, request: ReleaseRequest) -> tuple[str, ...]:
        """Have every child let go; once all have answered, returns what could not be released and why."""
        for asked in self._asked_for(request):
            # As it stands now: another release may have let it go while this one asked the others.
            status = self.status_of(asked.workload)
            if status is not None and status.state in RELEASABLE:
                self._record.set_target(status.model_copy(update={"release_problem": ""}))
                await self._ask_for_release(status, request)
        await workflow.wait_condition(lambda: not any(_unanswered(t) for t in self._asked_for(request)))
        failed = (t for t in self._asked_for(request) if t.release_problem)
        return tuple(f"{t.workload.name} was not released: {t.release_problem}" for t in failed)

    def _asked_for(self, request: ReleaseRequest) -> tuple[TargetStatus, ...]:
        targets = self._record.snapshot.targets
        return tuple(t for t in targets if request.target_id in (None, t.workload.workload_id))

    async def _ask_for_release(self, status: TargetStatus, request: ReleaseRequest) -> None:
        try:
            await self._children[status.workload.workload_id].signal("release", request)
        except FailureError as error:
            # Read again: it may have let go while we asked, and what was read before must not overwrite that.
            now = self.status_of(status.workload)
            if now is not None and now.state in RELEASABLE:
                problem = _no_holder(error)
                self._record.set_target(now.model_copy(update={"release_problem": problem}))

    @property
    def held(self) -> bool:
        """Whether any target is isolated."""
        return any(t.state in HELD for t in self._record.snapshot.targets)

    def releasable(self, request: ReleaseRequest) -> bool:
        """Whether there is anything that the request could let go, or have given up."""
        return any(t.state in RELEASABLE for t in self._asked_for(request))

    @property
    def settled(self) -> bool:
        """Whether every target has reached a state that needs nobody's order."""
        states = {t.workload.workload_id: t.state for t in self._record.snapshot.targets}
        return all(states.get(target.workload_id) in SETTLED for target in self._targets)

    def status_of(self, target: Workload) -> TargetStatus | None:
        """Where one target stands."""
        statuses = self._record.snapshot.targets
        return next((s for s in statuses if s.workload.workload_id == target.workload_id), None)


def _no_holder(error: FailureError) -> str:
    return f"its lease has no holder: {reason_of(error)}"


def _unanswered(status: TargetStatus) -> bool:
    return status.state in RELEASABLE and not status.release_problem
