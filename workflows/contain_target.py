"""ContainTargetWorkflow: one target, from plan to release. Owns the lease.

observe -> plan -> gate -> apply -> verify -> lease -> release. On the incident's fast path the first four have
happened when it starts. Never re-opens a contained target except by release, by a dead lifeline, or by the end of
its lease.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.host import (
        Isolated,
        IsolateOrder,
        LifelineOrder,
        Observed,
        ObserveOrder,
        Probed,
        ProbeOrder,
        ProbeTarget,
        Released,
        ReleaseOrder,
        Renewed,
        RenewOrder,
    )
    from activities.contracts.incident import GateStatus, ReleaseRequest, TargetState, TargetStatus
    from activities.contracts.response import ContainStart
    from playbooks.gates import Gate
    from playbooks.host_isolation import HostChange, plan_isolation
    from playbooks.proof import Measurement, Proof, conclude
    from segmentation.workloads import Workload

from workflows.gates import Gatekeeper
from workflows.orders import Orders, give, reason_of

# A proof that is not effective is measured again: a witness may have been busy, a session may take its time to die.
PROOF_ATTEMPTS = 3
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
        self._status = TargetStatus(
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
        await self._take_over(isolated)
        if not start.renewals:
            await self._prove(isolated.change)
        ended = await self._hold(isolated.change)
        if ended is None:
            await self._let_go(isolated)
        return self._status

    @workflow.signal
    def release(self, request: ReleaseRequest) -> None:
        """Lift the isolation; the first request counts."""
        self._release = self._release or request

    async def _apply(self) -> Isolated | None:
        try:
            return await self._plan_and_apply()
        except ActivityError as error:
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
        )

    async def _prove(self, change: HostChange) -> None:
        """Measure from where the intruder is not; what cannot be shown stays unproven."""
        proof = Proof(verdict="unproven")
        for attempt in range(PROOF_ATTEMPTS):
            if attempt:
                await workflow.sleep(1)
            answers = await asyncio.gather(
                *(self._ask_witness(w) for w in self._start.witnesses[:5]), self._ask_lifeline()
            )
            proof = conclude(tuple(m for answer in answers for m in answer))
            if proof.verdict == "effective":
                break
        await self._become("isolated", proof=proof)

    async def _ask_witness(self, witness: Workload) -> tuple[Measurement, ...]:
        target = self._start.target
        others = tuple(w for w in self._start.witnesses if w.workload_id != witness.workload_id)
        order = ProbeOrder(
            header=self._orders.header(witness),
            subject=_addresses(target),
            bystanders=tuple(address for other in others for address in _addresses(other)),
        )
        try:
            probed = await give(witness, "probe_peers", order, Probed)
        except ActivityError as error:
            workflow.logger.warning("witness %s could not measure: %s", witness.name, reason_of(error))
            return ()
        # A result that the witness did not sign could have been written by anybody who reaches the queue.
        return probed.measurements if probed.attested_by == witness.workload_id else ()

    async def _ask_lifeline(self) -> tuple[Measurement, ...]:
        target = self._start.target
        order = LifelineOrder(header=self._orders.header(target), intent=self._start.intent)
        try:
            return (await give(target, "probe_lifeline", order, Probed)).measurements
        except ActivityError as error:
            workflow.logger.warning("lifeline of %s is silent: %s", target.name, reason_of(error))
            return ()

    async def _hold(self, change: HostChange) -> TargetState | None:
        """Renew until somebody releases (None) or the lease may be renewed no longer (its end)."""
        lease = self._start.contain.lease
        every = lease.ttl_seconds / 3
        first = self._start.renewals
        for renewal in range(first, int(lease.max_seconds / every) + 1):
            try:
                await workflow.wait_condition(lambda: self._release is not None, timeout=every)
                return None
            except asyncio.TimeoutError:
                await self._renew(change)
            if renewal - first >= RENEWALS_PER_RUN:
                self._continue(renewal + 1)
        if lease.ends == "closed":
            # Ends closed: it holds until a person releases it, however long that takes.
            await workflow.wait_condition(lambda: self._release is not None)
            return None
        await workflow.sleep(timedelta(seconds=lease.ttl_seconds))
        await self._become("expired", reason="the lease reached its longest duration")
        return "expired"

    async def _renew(self, change: HostChange) -> None:
        target, ttl = self._start.target, self._start.contain.lease.ttl_seconds
        order = RenewOrder(
            header=self._orders.header(target, change.plan_hash), change=change, lease_seconds=ttl
        )
        try:
            renewed = await give(target, "renew_lease", order, Renewed)
        except ActivityError as error:
            await self._become("isolated", reason=f"renewal failed: {reason_of(error)}")
            return
        drift = "" if renewed.standing else "our table was gone and has been applied again"
        await self._become("isolated", lease_until=renewed.until, reason=drift)

    def _continue(self, renewals: int) -> None:
        isolated = self._isolated_so_far()
        workflow.continue_as_new(self._start.model_copy(update={"isolated": isolated, "renewals": renewals}))

    def _isolated_so_far(self) -> Isolated:
        status = self._status
        assert status.change and status.observation and status.applied_at  # noqa: S101 - set when isolated
        return Isolated(
            observation=status.observation, change=status.change, applied_at=status.applied_at, read_back=True
        )

    async def _let_go(self, isolated: Isolated) -> None:
        target = self._start.target
        order = ReleaseOrder(
            header=self._orders.header(target, isolated.change.plan_hash),
            change=isolated.change,
            observation=isolated.observation,
        )
        try:
            released = await give(target, "release_host", order, Released)
        except ActivityError as error:
            await self._become("failed", reason=f"release failed: {reason_of(error)}")
            return
        drift = "; ".join(released.drift)
        await self._become("released", restored=released.restored, reason=drift)

    async def _become(self, state: TargetState, **changes: object) -> None:
        update = {"state": state, "reason": ""} | changes
        self._status = self._status.model_copy(update=update)
        await self._signal("target_changed", self._status)

    async def _announce_gate(self, status: GateStatus) -> None:
        await self._signal("gate_changed", status)

    async def _signal(self, name: str, document: TargetStatus | GateStatus) -> None:
        parent = workflow.info().parent
        if parent is not None:
            await workflow.get_external_workflow_handle(parent.workflow_id).signal(name, document)


def _addresses(workload: Workload) -> tuple[ProbeTarget, ...]:
    return tuple(
        ProbeTarget(host_id=workload.workload_id, address=address, tcp_ports=workload.tcp_ports)
        for address in workload.addresses
    )
