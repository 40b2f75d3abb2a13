"""IncidentWorkflow: the durable case, from the first alert to what was learned.

Owns the order of the stages. The first workflow task orders the isolation where the playbook allows it at once;
everything else (recording, proof, evidence, people) comes after the cut. A stage that fails does not stop those that
do not need it.
"""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.host import Isolated, IsolateOrder
    from activities.contracts.incident import (
        AlertBatch,
        CloseRequest,
        CorroborateAlert,
        Corroboration,
        GateStatus,
        IncidentSnapshot,
        IncidentStart,
        ReleaseRequest,
        TargetStatus,
    )
    from activities.contracts.response import (
        CollectResult,
        CollectStart,
        ContainStart,
        RemediateResult,
        RemediateStart,
    )
    from playbooks.host_isolation import IsolationIntent
    from playbooks.playbook import Playbook
    from playbooks.triage import Route, choose_route
    from segmentation.workloads import Workload

from workflows.collect_evidence import CollectEvidenceWorkflow
from workflows.contain_target import ContainTargetWorkflow, reason_of
from workflows.orders import Orders, give
from workflows.post_mortem import PostMortemWorkflow
from workflows.record import IncidentRecord
from workflows.remediate import RemediateWorkflow

# How long recording waits for the first order: the ledger must not compete with the cut.
FAST_PATH = timedelta(milliseconds=500)
HELD = {"isolated"}
SETTLED = {"isolated", "denied", "rolled-back", "failed", "released", "expired"}
ENDED = SETTLED - HELD


@workflow.defn
class IncidentWorkflow:
    """One incident."""

    @workflow.init
    def __init__(self, start: IncidentStart) -> None:
        self._start = start
        self._record = IncidentRecord(start)
        self._orders = Orders(start.incident_id)
        self._children: dict[str, workflow.ChildWorkflowHandle[Any, Any]] = {}
        self._ordered = False
        self._counted_to = max(start.alerts.ids)
        self._release: ReleaseRequest | None = None
        self._close: CloseRequest | None = None

    @workflow.run
    async def run(self, start: IncidentStart) -> IncidentSnapshot:
        """Every stage in its order; returns the final snapshot."""
        containments = asyncio.create_task(self._detect_triage_contain())
        writer = asyncio.create_task(self._write_after_fast_path())
        if not await containments:
            await self._wait_for_people()
        else:
            collected = await self._collect()
            await self._remediate(collected)
            await self._release_targets()
            await self._learn()
        self._record.update(stage="closed", status="closed", closed_at=workflow.now(), waiting_for="")
        self._record.note("incident-closed", "The incident is closed.")
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._record.finish()
        await writer
        return self._record.snapshot

    @workflow.signal
    def alerts(self, batch: AlertBatch) -> None:
        """Count repeats of the alert; what was handed over before counts for nothing."""
        fresh = sum(place > self._counted_to for place in batch.ids)
        if not fresh:
            return
        self._counted_to = max(batch.ids)
        total = self._record.snapshot.alerts + fresh
        self._record.update(alerts=total)
        rule = batch.first.alert.rule.name
        self._record.note("alerts-counted", f"{fresh} more of {rule}: {total} in all.", count=fresh)

    @workflow.signal
    async def target_changed(self, status: TargetStatus) -> None:
        """A child tells where its target stands."""
        self._record.set_target(status)
        proof = f", {status.proof.verdict}" if status.proof else ""
        reason = f": {status.reason}" if status.reason else ""
        self._record.note(f"target-{status.state}", f"{status.workload.name} is {status.state}{proof}{reason}.")

    @workflow.signal
    async def gate_changed(self, status: GateStatus) -> None:
        """A child opened a gate, took a decision, or closed it."""
        known = {g.gate.gate_id: len(g.gate.decisions) for g in self._record.snapshot.gates}
        self._record.set_gate(status)
        gate = status.gate
        if gate.gate_id not in known:
            details = {"plan_hash": gate.plan_hash, "deadline": gate.deadline.isoformat()}
            self._record.note("gate-opened", gate.question, **details)
        for decision in gate.decisions[known.get(gate.gate_id, 0) :]:
            summary = f"{decision.actor} decided {decision.verdict} on {gate.gate_id}. {decision.reason}".strip()
            actor = f"user:{decision.actor}"
            self._record.note("decision", summary, actor=actor, plan_hash=decision.plan_hash, verdict=decision.verdict)
        if status.outcome:
            self._record.note("gate-closed", f"{gate.gate_id} is {status.outcome}.", outcome=status.outcome)
        self._record.update(waiting_for="" if status.outcome else f"decision on {gate.gate_id}")

    @workflow.update
    async def release(self, request: ReleaseRequest) -> IncidentSnapshot:
        """Lift the isolation of every target; returns when each is released or has failed to be."""
        self._release = request
        self._record.note("release-requested", request.reason, actor=f"user:{request.actor}")
        await self._release_children(request)
        await workflow.wait_condition(lambda: not self._held())
        return self._record.snapshot

    @release.validator
    def _check_release(self, request: ReleaseRequest) -> None:
        if not self._held():
            raise ApplicationError(
                f"Nothing of incident {self._start.incident_id} is isolated.",
                "Look at its targets.",
                type="nothing-to-release",
                non_retryable=True,
            )

    @workflow.update
    async def close(self, request: CloseRequest) -> IncidentSnapshot:
        """End an incident that waits in triage."""
        self._close = request
        self._record.note("close-requested", request.reason, actor=f"user:{request.actor}")
        return self._record.snapshot

    @close.validator
    def _check_close(self, request: CloseRequest) -> None:
        if self._held():
            raise ApplicationError(
                f"Targets of incident {self._start.incident_id} are isolated.",
                "Release them first.",
                type="still-isolated",
                non_retryable=True,
            )

    @workflow.query
    def snapshot(self) -> IncidentSnapshot:
        """The incident as it stands."""
        return self._record.snapshot

    # detect, triage, contain

    async def _detect_triage_contain(self) -> bool:
        """Contain every target by its route; False where people have to triage."""
        start = self._start
        if start.playbook is None or not start.targets:
            self._ordered = True
            return False
        fast: list[Workload] = []
        for target in start.targets:
            if self._route(start.playbook, target, None).way == "at-once":
                fast.append(target)
        orders = [asyncio.create_task(self._contain_at_once(start.playbook, target)) for target in fast]
        slow = [t for t in start.targets if t not in fast]
        self._ordered = not fast
        self._describe()
        await asyncio.gather(*orders, *(self._contain_by_route(start.playbook, target) for target in slow))
        return True

    def _describe(self) -> None:
        start = self._start
        assert start.playbook  # noqa: S101 - callers checked
        received = start.alerts.first
        self._record.note("alert-received", f"{received.alert.rule.name} from {received.source}.", signed=received.signed)
        names = ", ".join(t.name for t in start.targets)
        self._record.enter("triage")
        self._record.note("triaged", f"Targets: {names}. Playbook: {start.playbook.name}.")
        self._record.enter("contain")

    def _route(self, playbook: Playbook, target: Workload, corroborated: bool | None) -> Route:
        signed = self._start.alerts.first.signed
        return choose_route(
            playbook, target, targets=len(self._start.targets), signed=signed, corroborated=corroborated
        )

    def _intent(self, playbook: Playbook, target: Workload) -> IsolationIntent:
        return IsolationIntent(
            incident_id=self._start.incident_id,
            host_id=target.workload_id,
            lifeline=self._start.lifeline,
            lease_seconds=playbook.contain.lease.ttl_seconds,
            ends=playbook.contain.lease.ends,
            log_group=self._start.log_group,
        )

    async def _contain_at_once(self, playbook: Playbook, target: Workload) -> None:
        """The fast path: the order leaves with the first workflow task; a child takes the lease over."""
        order = IsolateOrder(header=self._orders.header(target), intent=self._intent(playbook, target))
        try:
            isolated = await give(target, "isolate_host", order, Isolated)
        except ActivityError as error:
            self._ordered = True
            self._record.set_target(TargetStatus(workload=target, state="failed", reason=reason_of(error)))
            self._record.note("target-failed", f"{target.name} could not be isolated: {reason_of(error)}")
            return
        self._ordered = True
        details = {"plan_hash": isolated.change.plan_hash, "applied_at": isolated.applied_at.isoformat()}
        actor = f"agent:{target.name}"
        self._record.note("isolation-applied", f"{target.name} was cut off.", actor=actor, **details)
        await self._start_containment(playbook, target, isolated=isolated)

    async def _contain_by_route(self, playbook: Playbook, target: Workload) -> None:
        route = self._route(playbook, target, None)
        if route.way == "corroborate-first":
            found = await self._corroborate()
            route = self._route(playbook, target, found)
            if found is None:
                route = route.model_copy(update={"way": "people-decide"})
        self._record.note("route-chosen", f"{target.name}: {route.way}, because {route.reason}.")
        gate = None if route.way == "at-once" else route.gate
        await self._start_containment(playbook, target, gate=gate, question=f"Isolate {target.name}? {route.reason}.")

    async def _start_containment(self, playbook: Playbook, target: Workload, **how: Any) -> None:
        start = ContainStart(
            incident_id=self._start.incident_id,
            target=target,
            witnesses=tuple(w for w in self._start.witnesses if w.workload_id != target.workload_id),
            intent=self._intent(playbook, target),
            contain=playbook.contain,
            **how,
        )
        child_id = f"{workflow.info().workflow_id}.contain.{target.workload_id}"
        self._children[target.workload_id] = await workflow.start_child_workflow(
            ContainTargetWorkflow.run, start, id=child_id, parent_close_policy=workflow.ParentClosePolicy.ABANDON
        )

    async def _corroborate(self) -> bool | None:
        if not self._start.siem_configured:
            return None
        found: Corroboration = await workflow.execute_activity(
            "corroborate_alert",
            CorroborateAlert(incident_id=self._start.incident_id, received=self._start.alerts.first),
            result_type=Corroboration,
            start_to_close_timeout=timedelta(seconds=10),
            schedule_to_close_timeout=timedelta(seconds=30),
            retry_policy=RetryPolicy(maximum_attempts=3),
        )
        said = {True: "holds", False: "does not hold", None: "could not be asked for"}[found.found]
        self._record.update(corroborated=found.found)
        self._record.note("corroborated", f"The SIEM {said} the events of the alert. {found.reason}".strip(), hits=found.hits)
        return found.found

    # forensics, remediation, release, learning

    async def _collect(self) -> tuple[CollectResult, ...]:
        self._record.enter("forensics", "evidence collection")
        tasks: list[Any] = [self._collect_from(target) for target in self._start.targets]
        if self._record.snapshot.corroborated is None:
            tasks.append(self._corroborate())
        results = await asyncio.gather(*tasks, return_exceptions=True)
        collected = tuple(r for r in results if isinstance(r, CollectResult))
        for problem in (r for r in results if isinstance(r, BaseException)):
            self._record.note("forensics-failed", f"A collection failed: {reason_of(problem)}")
        items = tuple(item for result in collected for item in result.items)
        intruders = tuple(p for result in collected for p in result.intruders)
        self._record.update(evidence=items, intruders=intruders, waiting_for="")
        self._record.note("evidence-collected", f"{len(items)} items collected.", items=len(items))
        for problem_text in (p for result in collected for p in result.problems):
            self._record.note("forensics-problem", problem_text)
        return collected

    async def _collect_from(self, target: Workload) -> CollectResult:
        start, destination = self._start, self._start.alerts.first.alert.destination
        assert start.playbook  # noqa: S101 - callers checked
        status = self._status_of(target)
        collect = CollectStart(
            incident_id=start.incident_id,
            target=target,
            forensics=start.playbook.forensics,
            accused=(destination.ip,) if destination.ip else (),
            accused_ports=(destination.port,) if destination.port else (),
            containment_state=status.state if status else "unknown",
            plan_hash=status.change.plan_hash if status and status.change else None,
        )
        child_id = f"{workflow.info().workflow_id}.collect.{target.workload_id}"
        return await workflow.execute_child_workflow(CollectEvidenceWorkflow.run, collect, id=child_id)

    async def _remediate(self, collected: tuple[CollectResult, ...]) -> None:
        start = self._start
        assert start.playbook  # noqa: S101 - callers checked
        if start.playbook.remediate.action == "none":
            return
        self._record.enter("remediate")
        for target in start.targets:
            intruders = self._record.snapshot.intruders
            remediate = RemediateStart(
                incident_id=start.incident_id,
                target=target,
                remediate=start.playbook.remediate,
                intruders=intruders,
            )
            child_id = f"{workflow.info().workflow_id}.remediate.{target.workload_id}"
            try:
                result = await workflow.execute_child_workflow(RemediateWorkflow.run, remediate, id=child_id)
            except ChildWorkflowError as error:
                result = RemediateResult(state="failed", summary=reason_of(error))
            self._record.update(remediation=f"{result.state}: {result.summary}", waiting_for="")
            self._record.note(f"remediation-{result.state}", result.summary, confirmed=result.confirmed)

    async def _release_targets(self) -> None:
        self._record.enter("release")
        await workflow.wait_condition(self._settled)
        if not self._held():
            return
        assert self._start.playbook  # noqa: S101 - callers checked
        by_itself = self._start.playbook.release.when == "remediated"
        if by_itself and self._record.snapshot.remediation.startswith("done"):
            await self._release_children(ReleaseRequest(actor="playbook", reason="remediation is confirmed"))
        else:
            self._record.update(waiting_for="release by a person")
        await workflow.wait_condition(lambda: not self._held())
        self._record.update(waiting_for="")

    async def _release_children(self, request: ReleaseRequest) -> None:
        for child in self._children.values():
            await child.signal(ContainTargetWorkflow.release, request)

    async def _learn(self) -> None:
        self._record.enter("learn")
        await self._flush()
        child_id = f"{workflow.info().workflow_id}.learn"
        try:
            report = await workflow.execute_child_workflow(
                PostMortemWorkflow.run, self._record.snapshot, id=child_id
            )
        except ChildWorkflowError as error:
            self._record.note("report-failed", f"The report could not be made: {reason_of(error)}")
            return
        self._record.update(report_uri=report.uri)
        self._record.note("report-written", f"The report is at {report.uri}.", sha256=report.sha256)

    async def _wait_for_people(self) -> None:
        start, first = self._start, self._start.alerts.first
        self._record.enter("triage", "a person: triage, then close")
        why = "it names no workload we know" if not start.targets else "no playbook answers it"
        if len(start.targets) > 1 and start.playbook is None:
            why = "it names more than one workload"
        self._record.note("triage-needed", f"{first.alert.rule.name} from {first.source}: {why}. Nothing was contained.")
        await workflow.wait_condition(lambda: self._close is not None)

    # bookkeeping

    async def _write_after_fast_path(self) -> None:
        try:
            await workflow.wait_condition(lambda: self._ordered, timeout=FAST_PATH)
        except asyncio.TimeoutError:
            workflow.logger.info("the first order is still under way; recording starts")
        await self._record.keep_writing()

    async def _flush(self) -> None:
        """The report reads the ledger: let it have everything first."""
        await workflow.wait_condition(lambda: self._record.clean)

    def _status_of(self, target: Workload) -> TargetStatus | None:
        statuses = self._record.snapshot.targets
        return next((s for s in statuses if s.workload.workload_id == target.workload_id), None)

    def _held(self) -> bool:
        return any(t.state in HELD for t in self._record.snapshot.targets)

    def _settled(self) -> bool:
        known = {t.workload.workload_id: t.state for t in self._record.snapshot.targets}
        return all(known.get(target.workload_id) in SETTLED for target in self._start.targets)
