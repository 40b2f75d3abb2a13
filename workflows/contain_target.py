"""ContainTargetWorkflow: one target, from plan to release. Owns the lease.

observe -> plan -> gate -> apply -> verify -> lease -> release. On the incident's fast path the first four have
happened when it starts. Never re-opens a contained target except by release, by a dead lifeline, or by the end of
its lease. How a kind of target does these things is in `workflows.host_switch` and `workflows.platform_switch`.
"""

import asyncio
import contextlib
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.host import Isolated
    from activities.contracts.incident import GateStatus, LeaseRenewed, ReleaseRequest, TargetState, TargetStatus
    from activities.contracts.killswitch import Contained
    from activities.contracts.response import ContainStart, Planned
    from playbooks.change import PlatformChange, replanned
    from playbooks.host_isolation import HostObservation
    from playbooks.planning import as_observed
    from playbooks.safeguards import protection

from workflows.choosing import switch_of
from workflows.gates import Gatekeeper
from workflows.lease_words import lapsed, last_renewal, shortcomings
from workflows.orders import Orders, reason_of
from workflows.questions import contain_gate, drift_gate
from workflows.stopping import stop_restraint
from workflows.switches import LettingGo, Standing, kind_of, may_come_right

RENEWALS_PER_RUN = 500
# Between two tries of what may come right by itself: a host that is away, a cluster that nobody reaches.
PAUSES = (timedelta(seconds=2), timedelta(seconds=10), timedelta(seconds=60))


@workflow.defn
class ContainTargetWorkflow(Gatekeeper):
    """Contains one target and holds the lease until it is released or ends."""

    @workflow.init
    def __init__(self, start: ContainStart) -> None:
        super().__init__()
        self._announce = self._announce_gate
        self._restraint = lambda: stop_restraint(start.incident_id)
        self._start = start
        self._switch = switch_of(start, Orders(start.incident_id))
        self._release: ReleaseRequest | None = start.release
        self._renewals = start.renewals
        self._questions = 0
        # What is being tried, what people said yes to, and what was last sent to be applied: it may stand in part.
        self._planned = self._attempted = start.planned
        self._approved = start.planned if start.approved else None
        self._status = start.status or TargetStatus(
            workload=start.target, state="planned", workflow_id=workflow.info().workflow_id
        )

    @workflow.run
    async def run(self, start: ContainStart) -> TargetStatus:
        """Contain, prove, hold, release; returns where it ended."""
        standing = start.isolated or start.contained or await self._apply()
        if standing is None:
            return self._status
        if isinstance(standing, Isolated) and standing.rolled_back:
            await self._become("rolled-back", reason=f"the lifeline was dead: {standing.detail}")
            return self._status
        if start.status is None:
            await self._take_over(standing)
        await self._hold_and_let_go(standing)
        return self._status

    async def _hold_and_let_go(self, standing: Standing) -> None:
        """Prove it meanwhile: a witness that takes its time must not cost the lease, nor a release its hearing."""
        proven = self._start.status is not None or self._start.release is not None
        proving = asyncio.create_task(asyncio.sleep(0) if proven else self._prove(standing))
        while await self._hold(standing, proving):
            await proving  # what is measured while the target is let go would count against the cut
            # Before the order, not after: whoever asks again while it is carried out must be heard, not forgotten.
            self._release = None
            if await self._let_go(standing):
                return
        await proving
        await self._end_lease(standing)

    @workflow.signal
    def release(self, request: ReleaseRequest) -> None:
        """Lift the isolation; the first request counts."""
        self._release = self._release or request

    async def _apply(self) -> Standing | None:
        """Apply until it stands, is refused for good, or nobody wants it any more; no longer than it would stand."""
        tries, until = 0, workflow.now() + timedelta(seconds=self._start.contain.lease.max_seconds)
        while True:
            try:
                if not (reason := await self._restrained(tries)):
                    return await self._plan_and_apply()
            except FailureError as error:
                reason = reason_of(error)
                if kind_of(error) == "plan-stale":
                    self._planned = self._approved = None  # planned anew, over what stands of it
                elif not may_come_right(error) or workflow.now() >= until:
                    return await self._end_as("failed", reason)
            await self._become("applying", reason=f"{reason} Trying again.")
            if await self._release_asked(PAUSES[min(tries, len(PAUSES) - 1)].total_seconds()):
                # What stands of it is let go by the same request.
                return await self._end_as("failed", f"given up on request; last: {reason}")
            tries += 1

    async def _end_as(self, state: TargetState, reason: str) -> Standing | None:
        """It ends so, unless part of a change stands: that needs a holder, or nobody could ever let it go."""
        standing = await self._switch.left_behind(self._attempted) if self._attempted is not None else None
        if standing is None:
            await self._become(state, reason=reason)
        return standing

    async def _restrained(self, tries: int) -> str:
        """Why what nobody approved must not be tried again now: somebody may have stopped everything meanwhile."""
        if self._start.gate is not None or not (tries or self._start.delayed):
            return ""
        restraint = await stop_restraint(self._start.incident_id)
        return restraint and f"{restraint}."

    async def _plan_and_apply(self) -> Standing | None:
        """Ask where people have to be asked, and apply; None: they said no."""
        planned = self._approved or self._planned
        if planned is None and (self._start.gate is not None or self._switch.plans_first):
            planned = self._planned = await self._new_plan()
        if planned is not None and self._approved is None and self._needs_people(planned):
            if not await self._people_approve(planned):
                return await self._end_as("denied", self.restrained_by or "people or the deadline denied the plan")
            self._approved = planned
        await self._show(planned)
        self._attempted = planned
        return await self._switch.apply(planned, approved=self._approved is not None)

    async def _new_plan(self) -> Planned:
        """What is planned over our own earlier work keeps what stood before that."""
        planned = await self._switch.plan()
        earlier = self._attempted.change if self._attempted is not None else None
        if not isinstance(earlier, PlatformChange) or not isinstance(planned.change, PlatformChange):
            return planned
        return planned.model_copy(update={"change": replanned(earlier, planned.change)})

    def _needs_people(self, planned: Planned) -> bool:
        return self._start.gate is not None or bool(self._protection(planned))

    async def _people_approve(self, planned: Planned) -> bool:
        self._questions += 1
        await self._show(planned, "awaiting-decision")
        gate = contain_gate(self._start, planned, self._questions, self._protection(planned))
        return await self.ask(gate) == "approved"

    def _protection(self, planned: Planned) -> str:
        """Why the target is protected by what only its platform knew; a host was judged before."""
        seen, start = planned.observation, self._start
        if isinstance(seen, HostObservation):
            return ""
        return protection(start.safeguards, start.contain, as_observed(start.target, seen))

    async def _show(self, planned: Planned | None, state: TargetState = "applying") -> None:
        """What is planned; of a target without a plan of ours there is nothing to tell yet."""
        if planned is None:
            return
        observation = planned.observation if isinstance(planned.observation, HostObservation) else None
        await self._become(state, change=planned.change, observation=observation)

    async def _take_over(self, standing: Standing) -> None:
        until = standing.applied_at + timedelta(seconds=standing.change.lease_seconds)
        if isinstance(standing, Isolated) and standing.lease_until is not None:
            until = standing.lease_until  # of what stood already, and was taken over
        await self._become(
            "isolated",
            change=standing.change,
            observation=standing.observation if isinstance(standing, Isolated) else None,
            applied_at=standing.applied_at,
            lease_until=until if self._start.release is None else None,
            reason=shortcomings(standing),
        )

    async def _prove(self, standing: Standing) -> None:
        proof = await self._switch.prove(standing, until=lambda: self._release is not None)
        await self._become("isolated", proof=proof)

    async def _hold(self, standing: Standing, proving: asyncio.Task[None]) -> bool:
        """Renew until somebody asks for the release (True) or the lease has had its longest time (False)."""
        lease, first = self._start.contain.lease, self._renewals
        if self._start.release is not None:
            return await self._release_asked(None)
        last = lease.max_seconds * 3 // lease.ttl_seconds
        # Whoever takes over from another that was ended may come late.
        due = 0 if self._start.succeeds and first == self._start.renewals else lease.ttl_seconds / 3
        while self._renewals < last:
            if await self._release_asked(due):
                return True
            due = lease.ttl_seconds / 3
            self._renewals += 1
            await self._renew(standing, is_last=self._renewals >= last)
            if self._renewals - first >= RENEWALS_PER_RUN and self._release is None:
                await proving
                self._continue(standing)
        # Ends closed: it holds until a person releases it, however long that takes.
        return await self._release_asked(lease.ttl_seconds if lease.ends == "open" else None)

    async def _release_asked(self, seconds: float | None) -> bool:
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._release is not None, timeout=seconds)
        return self._release is not None

    async def _renew(self, standing: Standing, *, is_last: bool) -> None:
        try:
            renewed = await self._switch.renew(standing)
        except FailureError as error:
            await self._tell_lease(f"renewal failed: {reason_of(error)}{self._lapse()}", self._status.lease_until)
            return
        warning = last_renewal(self._start.contain.lease.ends, renewed.until) if is_last else ""
        await self._tell_lease("; ".join(filter(None, (renewed.note, warning))), renewed.until)

    async def _tell_lease(self, reason: str, until: datetime | None) -> None:
        """Only what is new: a lease is renewed a thousand times, and its plan may be long."""
        self._status = self._status.model_copy(update={"lease_until": until, "reason": reason})
        target_id = self._start.target.workload_id
        await self._signal("lease_renewed", LeaseRenewed(target_id=target_id, lease_until=until, reason=reason))

    def _lapse(self) -> str:
        by_itself = self._switch.lets_go_by_itself and self._start.contain.lease.ends == "open"
        return lapsed(self._status.lease_until, workflow.now()) if by_itself else ""

    def _continue(self, standing: Standing) -> None:
        carried = {
            "isolated": standing.model_copy(update={"read_back": True}) if isinstance(standing, Isolated) else None,
            "contained": standing if isinstance(standing, Contained) else None,
            "planned": None,
            "succeeds": False,
            "renewals": self._renewals,
            "status": self._status,
        }
        workflow.continue_as_new(self._start.model_copy(update=carried))

    async def _end_lease(self, standing: Standing) -> None:
        """What carries no end of its own is let go by us; a release that fails is tried until it is done."""
        while not self._switch.lets_go_by_itself:
            if await self._let_go(standing, state="expired", why="the lease reached its longest duration"):
                return
            await self._release_asked(PAUSES[-1].total_seconds())
            self._release = None
        await self._become("expired", reason="the lease reached its longest duration")

    async def _let_go(self, standing: Standing, state: TargetState = "released", why: str = "") -> bool:
        try:
            gone = await self._switch.release(standing, overwrite=False)
            if gone.ours and await self._people_want_it_back(gone):
                gone = await self._switch.release(standing, overwrite=True)
        except FailureError as error:
            problem = reason_of(error)
            await self._become("isolated", reason=f"release failed: {problem}", release_problem=problem)
            return False
        absent = "" if gone.was_standing else "it was no longer cut off when it was let go"
        reason = "; ".join(filter(None, (why, absent, *gone.drift)))
        await self._become(state, restored=gone.restored, reason=reason)
        return True

    async def _people_want_it_back(self, gone: LettingGo) -> bool:
        """Somebody has changed what we set: what is ours is restored, of the rest people say what becomes of it."""
        waits = f"people decide about what somebody changed meanwhile: {'; '.join(gone.ours)}"
        await self._become("isolated", reason=waits, release_problem=waits)
        self._questions += 1
        return await self.ask(drift_gate(self._start, gone.ours, self._questions)) == "approved"

    async def _become(self, state: TargetState, **changes: object) -> None:
        update = {"state": state, "reason": "", "release_problem": ""} | changes
        self._status = self._status.model_copy(update=update)
        await self._signal("target_changed", self._status)

    async def _announce_gate(self, status: GateStatus) -> None:
        await self._signal("gate_changed", status)

    async def _signal(self, name: str, document: TargetStatus | LeaseRenewed | GateStatus) -> None:
        parent = workflow.info().parent
        if parent is None:
            return
        try:
            await workflow.get_external_workflow_handle(parent.workflow_id).signal(name, document)
        except FailureError as error:
            # The lease outlives an incident that somebody ended: nobody else holds it.
            workflow.logger.warning("the incident does not hear of %s: %s", name, reason_of(error))
