"""ContainTargetWorkflow: one target, from plan to release. Owns the lease.

observe -> plan -> gate -> apply -> verify -> lease -> release. On the incident's fast path the first four have
happened when it starts. Never re-opens a contained target except by release, by a dead lifeline, or by the end of
its lease.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.host import (
        Isolated,
        IsolateOrder,
        Observed,
        ObserveOrder,
        Released,
        ReleaseOrder,
        Renewed,
        RenewOrder,
    )
    from activities.contracts.incident import GateStatus, ReleaseRequest, TargetState, TargetStatus
    from activities.contracts.response import ContainStart
    from playbooks.gates import Gate
    from playbooks.host_isolation import HostChange, plan_isolation

from workflows.gates import Gatekeeper
from workflows.orders import Orders, give, reason_of
from workflows.proving import Prover

RENEWALS_PER_RUN = 500


@workflow.defn
class ContainTargetWorkflow(Gatekeeper):
    """Contains one host and holds the lease until it is released or ends."""

    @workflow.init
    def __init__(self, start: ContainStart) -> None:
        super().__init__()
        self._announce = self._announce_gate
        self._start = start
        self._orders = Orders(start.incident_id)
        self._release: ReleaseRequest | None = None
        self._renewals = start.renewals
        self._status = start.status or TargetStatus(
            workload=start.target, state="planned", workflow_id=workflow.info().workflow_id
        )

    @workflow.run
    async def run(self, start: ContainStart) -> TargetStatus:
        """Contain, prove, hold, release; returns where it ended."""
        isolated = start.isolated or await self._apply()
        if isolated is None:
            return self._status
        if isolated.rolled_back:
            await self._become("rolled-back", reason=f"the lifeline was dead: {isolated.detail}")
            return self._status
        if start.status is None:
            await self._take_over(isolated)
        await self._hold_and_let_go(isolated)
        return self._status

    async def _hold_and_let_go(self, isolated: Isolated) -> None:
        """Prove it meanwhile: a witness that takes its time must not cost the lease, nor a release its hearing."""
        proving = asyncio.create_task(self._prove() if self._start.status is None else asyncio.sleep(0))
        while await self._hold(isolated.change, proving):
            await proving  # what is measured while the host is let go would count against the cut
            # Before the order, not after: whoever asks again while it is carried out must be heard, not forgotten.
            self._release = None
            if await self._let_go(isolated):
                return
        await proving
        await self._become("expired", reason="the lease reached its longest duration")

    @workflow.signal
    def release(self, request: ReleaseRequest) -> None:
        """Lift the isolation; the first request counts."""
        self._release = self._release or request

    async def _apply(self) -> Isolated | None:
        try:
            return await self._plan_and_apply()
        except FailureError as error:
            await self._become("failed", reason=reason_of(error))
            return None

    async def _plan_and_apply(self) -> Isolated | None:
        start, target = self._start, self._start.target
        order = ObserveOrder(header=self._orders.header(target))
        observed = await give(target, "observe_host", order, Observed)
        change = plan_isolation(observed.observation, start.intent)
        if start.gate is not None:
            await self._become("awaiting-decision", change=change, observation=observed.observation)
            if await self.ask(self._gate(change)) == "denied":
                await self._become("denied", reason="people or the deadline denied the plan")
                return None
        await self._become("applying", change=change)
        header = self._orders.header(target, change.plan_hash)
        apply = IsolateOrder(header=header, intent=start.intent, change=change)
        return await give(target, "isolate_host", apply, Isolated)

    def _gate(self, change: HostChange) -> Gate:
        start = self._start
        assert start.gate is not None  # noqa: S101 - asked only where there is one
        return Gate(
            gate_id=f"contain.{start.target.name}",
            incident_id=start.incident_id,
            question=start.question or f"Isolate {start.target.name}?",
            plan_hash=change.plan_hash,
            plan=change.summary,
            spec=start.gate,
            requested_by=start.requested_by,
            opened_at=workflow.now(),
        )

    async def _take_over(self, isolated: Isolated) -> None:
        until = isolated.applied_at + timedelta(seconds=isolated.change.lease_seconds)
        await self._become(
            "isolated",
            change=isolated.change,
            observation=isolated.observation,
            applied_at=isolated.applied_at,
            lease_until=until,
            reason=_shortcomings(isolated),
        )

    async def _prove(self) -> None:
        proof = await Prover(self._start, self._orders).prove(until=lambda: self._release is not None)
        await self._become("isolated", proof=proof)

    async def _hold(self, change: HostChange, proving: asyncio.Task[None]) -> bool:
        """Renew until somebody asks for the release (True) or the lease has had its longest time (False)."""
        lease, first = self._start.contain.lease, self._renewals
        while self._renewals < lease.max_seconds * 3 // lease.ttl_seconds:
            if await self._release_asked(lease.ttl_seconds / 3):
                return True
            self._renewals += 1
            await self._renew(change)
            if self._renewals - first >= RENEWALS_PER_RUN and self._release is None:
                await proving
                self._continue()
        # Ends closed: it holds until a person releases it, however long that takes.
        return await self._release_asked(lease.ttl_seconds if lease.ends == "open" else None)

    async def _release_asked(self, seconds: float | None) -> bool:
        try:
            await workflow.wait_condition(lambda: self._release is not None, timeout=seconds)
        except TimeoutError:
            return False
        return True

    async def _renew(self, change: HostChange) -> None:
        target, ttl = self._start.target, self._start.contain.lease.ttl_seconds
        order = RenewOrder(header=self._orders.header(target, change.plan_hash), change=change, lease_seconds=ttl)
        try:
            renewed = await give(target, "renew_lease", order, Renewed)
        except FailureError as error:
            await self._become("isolated", reason=f"renewal failed: {reason_of(error)}{self._lapsed()}")
            return
        drift = "" if renewed.standing else "our table was gone and has been applied again"
        await self._become("isolated", lease_until=renewed.until, reason=drift)

    def _lapsed(self) -> str:
        """What the clock says of a lease that can't be renewed: its dead-man asks nobody."""
        until = self._status.lease_until
        if self._start.contain.lease.ends == "closed" or until is None or workflow.now() < until:
            return ""
        return f"; its lease ran out at {until:%H:%M:%S} UTC: it is no longer cut off"

    def _continue(self) -> None:
        carried = {"isolated": self._isolated_so_far(), "renewals": self._renewals, "status": self._status}
        workflow.continue_as_new(self._start.model_copy(update=carried))

    def _isolated_so_far(self) -> Isolated:
        status = self._status
        if status.change is None or status.observation is None or status.applied_at is None:
            raise ApplicationError("a lease is carried over only where something is isolated", non_retryable=True)
        return Isolated(
            observation=status.observation, change=status.change, applied_at=status.applied_at, read_back=True
        )

    async def _let_go(self, isolated: Isolated) -> bool:
        target = self._start.target
        order = ReleaseOrder(
            header=self._orders.header(target, isolated.change.plan_hash),
            change=isolated.change,
            observation=isolated.observation,
        )
        try:
            released = await give(target, "release_host", order, Released)
        except FailureError as error:
            problem = reason_of(error)
            await self._become("isolated", reason=f"release failed: {problem}", release_problem=problem)
            return False
        gone = () if released.was_standing else ("it was no longer cut off when it was let go",)
        await self._become("released", restored=released.restored, reason="; ".join((*gone, *released.drift)))
        return True

    async def _become(self, state: TargetState, **changes: object) -> None:
        update = {"state": state, "reason": "", "release_problem": ""} | changes
        self._status = self._status.model_copy(update=update)
        await self._signal("target_changed", self._status)

    async def _announce_gate(self, status: GateStatus) -> None:
        await self._signal("gate_changed", status)

    async def _signal(self, name: str, document: TargetStatus | GateStatus) -> None:
        parent = workflow.info().parent
        if parent is None:
            return
        try:
            await workflow.get_external_workflow_handle(parent.workflow_id).signal(name, document)
        except FailureError as error:
            # The lease outlives an incident that somebody ended: nobody else holds it.
            workflow.logger.warning("the incident does not hear of %s: %s", name, reason_of(error))


def _shortcomings(isolated: Isolated) -> str:
    """What the agent says is not as it should be, though the order was carried out."""
    unread = "" if isolated.read_back else "its rules could not be read back whole"
    return "; ".join(filter(None, (unread, isolated.detail)))
