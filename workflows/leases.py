"""The children that hold the leases of one incident's targets.

Owns starting them, hearing how they end, replacing those that were ended, and asking them to let go. What a child does
is in `workflows.contain_target`. A target's child has one workflow id whatever befalls it, its successors too: so that
there is never a second one, and each is reached by the runs of the incident that did not start it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ChildWorkflowError, FailureError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.host import Isolated
    from activities.contracts.incident import ReleaseRequest, TargetStatus
    from activities.contracts.killswitch import Contained
    from activities.contracts.response import ContainStart
    from playbooks.change import PlatformChange
    from segmentation.workloads import Workload

from workflows.orders import reason_of
from workflows.record import IncidentRecord

HELD = {"isolated"}
# A containment that is still being tried is given up by the same request.
RELEASABLE = {"isolated", "applying"}
SETTLED = {"isolated", "denied", "rolled-back", "failed", "released", "expired"}
# So long after the first, one more holder of a target is sent after its predecessor: what ends them all won't end soon.
PAUSE = timedelta(seconds=60)
# A child of an earlier run tells nobody how it ends: whose lease has run out is looked for so often.
LOOK = timedelta(minutes=15)


class Leases:
    """Who holds what of one incident."""

    def __init__(
        self, targets: tuple[Workload, ...], start_of: Callable[[Workload], ContainStart], record: IncidentRecord
    ) -> None:
        self._targets = targets
        self._start_of = start_of
        self._record = record
        self._watching: list[asyncio.Task[None]] = []
        self._ended: Counter[str] = Counter()
        self._asked: dict[str, ReleaseRequest] = {}
        self._starting = 0

    async def hold(self, start: ContainStart) -> None:
        """Have a child contain the target, or take over what stands."""
        self._starting += 1
        try:
            child: workflow.ChildWorkflowHandle[Any, TargetStatus] = await workflow.start_child_workflow(
                "ContainTargetWorkflow",
                start,
                id=_holder_of(start.target),
                result_type=TargetStatus,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            )
        finally:
            self._starting -= 1
        self._watching.append(asyncio.create_task(self._watch(start.target, child)))

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
        """Whoever held the lease was ended: another one holds on to what stands."""
        status = self.status_of(target) or TargetStatus(workload=target, state="planned")
        self._record.note("lease-unheld", f"{target.name}: {problem}.")
        if status.state not in RELEASABLE or status.change is None:
            if status.state not in SETTLED:
                self._record.set_target(status.model_copy(update={"state": "failed", "reason": problem}))
            return
        if status.state == "applying":
            problem = f"{problem}; whether any of it stands can't be told"
        # What is asked for goes on to the next one; whoever still waits when that one ends, too, has an answer.
        asked = self._asked.pop(target.workload_id, None)
        told = {"state": "isolated", "reason": problem, "release_problem": "" if asked else problem}
        self._record.set_target(status.model_copy(update=told))
        if asked is None and status.lease_until is None:
            return  # what may stand of a try is not for another one to complete: it is there to be let go
        self._ended[target.workload_id] += 1
        if asked is None and self._ended[target.workload_id] > 1:
            await workflow.sleep(PAUSE)
        await self._succeed(target, problem, asked)

    async def _succeed(self, target: Workload, problem: str, release: ReleaseRequest | None = None) -> bool:
        """Have another child hold what stands, or let it go; False: nobody can, or somebody does already."""
        status = self.status_of(target)
        if status is None or status.state not in RELEASABLE:
            return False
        start = successor(self._start_of(target), status, problem)
        if start is None:
            return False
        try:
            await self.hold(start.model_copy(update={"release": release}))
        except WorkflowAlreadyStartedError:
            return False
        return True

    async def look_after(self) -> None:
        """Replace the children of earlier runs that are gone: their leases run out, and nobody tells."""
        problem = "its lease has no holder: it ran out"
        while True:
            await workflow.sleep(LOOK)
            for status in self._record.snapshot.targets:
                asked = self._asked.get(status.workload.workload_id)
                lapsed = status.lease_until is not None and status.lease_until < workflow.now()
                if status.state in HELD and lapsed and await self._succeed(status.workload, problem, asked):
                    self._record.note("lease-unheld", f"{status.workload.name}: {problem}.")

    async def release(self, request: ReleaseRequest) -> tuple[str, ...]:
        """Have every child let go; once all have answered, returns what could not be released and why."""
        for asked in self._asked_for(request):
            # As it stands now: another release may have let it go while this one asked the others.
            status = self.status_of(asked.workload)
            if status is not None and status.state in RELEASABLE:
                self._record.set_target(status.model_copy(update={"release_problem": ""}))
                self._asked[status.workload.workload_id] = request
                await self._ask_for_release(status.workload, request)
        await workflow.wait_condition(lambda: not any(_unanswered(t) for t in self._asked_for(request)))
        for answered in self._asked_for(request):
            self._asked.pop(answered.workload.workload_id, None)
        failed = (t for t in self._asked_for(request) if t.release_problem)
        return tuple(f"{t.workload.name} was not released: {t.release_problem}" for t in failed)

    def _asked_for(self, request: ReleaseRequest) -> tuple[TargetStatus, ...]:
        targets = self._record.snapshot.targets
        return tuple(t for t in targets if request.target_id in (None, t.workload.workload_id))

    async def _ask_for_release(self, target: Workload, request: ReleaseRequest) -> None:
        """Ask who holds it; where nobody does any more, a child that does nothing but let go."""
        problem = ""
        for _ in range(2):  # who could not be reached may have been succeeded while we asked
            try:
                await workflow.get_external_workflow_handle(_holder_of(target)).signal("release", request)
            except FailureError as error:
                problem = _no_holder(error)
            else:
                return
            if await self._succeed(target, problem, request):
                return
        self._tell(target, problem)

    def _tell(self, target: Workload, problem: str) -> None:
        # Read again: it may have let go while we asked, and what was read before must not overwrite that.
        now = self.status_of(target)
        if now is not None and now.state in RELEASABLE:
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

    @property
    def all_started(self) -> bool:
        """Whether no child is on its way to being started."""
        return not self._starting

    def status_of(self, target: Workload) -> TargetStatus | None:
        """Where one target stands."""
        return self._record.target(target.workload_id)


def successor(start: ContainStart, status: TargetStatus, problem: str) -> ContainStart | None:
    """What another child begins with: what stands by the word of the one before. None: too little is known of that."""
    applied_at = status.applied_at or workflow.now()
    held_for = (workflow.now() - applied_at).total_seconds()
    renewals = int(held_for * 3 // start.contain.lease.ttl_seconds)  # its longest time does not begin anew
    known: dict[str, object] = {"succeeds": True, "renewals": renewals}
    if isinstance(status.change, PlatformChange):
        known["contained"] = Contained(change=status.change, applied_at=applied_at, problems=(problem,))
    elif status.change is not None and status.observation is not None:
        known["isolated"] = Isolated(
            observation=status.observation,
            change=status.change,
            applied_at=applied_at,
            read_back=True,
            detail=problem,
            lease_until=status.lease_until,
        )
    else:
        return None
    return start.model_copy(update=known)


def _holder_of(target: Workload) -> str:
    return f"{workflow.info().workflow_id}.contain.{target.workload_id}"


def _no_holder(error: FailureError) -> str:
    return f"its lease has no holder: {reason_of(error)}"


def _unanswered(status: TargetStatus) -> bool:
    return status.state in RELEASABLE and not status.release_problem
