"""IncidentWorkflow: the durable case, from the first alert to what was learned.

Owns the order of the stages and what people may ask of an incident. The first workflow task orders the isolation where
the playbook allows it at once; everything else (recording, proof, evidence, people) comes after the cut. A stage that
fails does not stop those that do not need it.

Children are started by name: the sandbox imports a workflow's modules anew for every run, and each module that the
first task does not need is time in which an intruder still talks.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.incident import (
        AlertBatch,
        CloseRequest,
        GateStatus,
        IncidentSnapshot,
        IncidentSoFar,
        IncidentStart,
        LeaseRenewed,
        ReleaseRequest,
        TargetStatus,
    )
    from playbooks.playbook import Playbook

from workflows.aftermath import Aftermath
from workflows.containment import Containments
from workflows.gates import Gatekeeper
from workflows.long_waits import LongWaits
from workflows.record import IncidentRecord
from workflows.stopping import stop_restraint

# How long recording waits for the first order to be carried out.
FAST_PATH = timedelta(milliseconds=500)


@workflow.defn
class IncidentWorkflow(Gatekeeper):
    """One incident."""

    @workflow.init
    def __init__(self, start: IncidentStart) -> None:
        super().__init__()
        self._announce = self._announce_gate
        self._restraint = lambda: stop_restraint(start.incident_id)
        self._start = start
        self._record = IncidentRecord(start)
        so_far = start.so_far
        self._counted_to = so_far.counted_to if so_far else max(start.alerts.ids)
        self._close: CloseRequest | None = None
        self._repaired = so_far is not None and so_far.repaired
        self._waits = LongWaits(start, self._record, only_waits=self._only_waits, so_far=self._so_far)
        if so_far is not None:
            self.remember(so_far.snapshot.gates)
        answered = start.playbook is not None and bool(start.targets)
        self._containments = None
        if answered and start.playbook is not None:
            self._containments = Containments(start, start.playbook, self._record, self)

    @workflow.run
    async def run(self, start: IncidentStart) -> IncidentSnapshot:
        """Every stage in its order; returns the final snapshot."""
        if start.rehearsal:
            return self._record.snapshot
        if self._record.snapshot.status == "closed":  # by an earlier run; the ledger does not know yet
            writer = asyncio.create_task(self._record.keep_writing())
        elif self._containments is None or start.playbook is None:
            writer = asyncio.create_task(self._record.keep_writing())
            await self._wait_for_people()
        elif start.so_far is not None:
            writer = asyncio.create_task(self._record.keep_writing())
            looking = asyncio.create_task(self._containments.leases.look_after())
            await self._respond(start.playbook, self._containments)
            looking.cancel()
        else:
            contain = asyncio.create_task(self._containments.run())
            writer = asyncio.create_task(self._write_after_fast_path(self._containments))
            self._describe(start.playbook)
            await contain
            await self._respond(start.playbook, self._containments)
        await self._end(writer)
        return self._record.snapshot

    async def _end(self, writer: asyncio.Task[None]) -> None:
        if self._record.snapshot.status != "closed":
            self._record.update(stage="closed", status="closed", closed_at=workflow.now(), waiting_for="")
            self._record.note("incident-closed", "The incident is closed.")
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._record.finish()
        await self._waits.until(writer.done)
        await writer

    @workflow.signal
    def alerts(self, batch: AlertBatch) -> None:
        """Count repeats of the alert; what was handed over before counts for nothing."""
        self._waits.heard()
        fresh = sum(place > self._counted_to for place in batch.ids)
        if not fresh:
            return
        self._counted_to = max(batch.ids)
        self._record.count_alerts(fresh, batch.first.alert.rule.name)

    @workflow.signal
    def target_changed(self, status: TargetStatus) -> None:
        """A child tells where its target stands."""
        self._waits.heard()
        self._record.target_changed(status)

    @workflow.signal
    def lease_renewed(self, renewed: LeaseRenewed) -> None:
        """A child has prolonged a lease, or could not."""
        self._waits.heard()
        self._record.lease_renewed(renewed)

    @workflow.signal
    def gate_changed(self, status: GateStatus) -> None:
        """A child opened a gate, took a decision, or closed it."""
        self._waits.heard()
        self._record.gate_changed(status)

    @workflow.update
    async def release(self, request: ReleaseRequest) -> IncidentSnapshot:
        """Lift the isolation of every target; returns when each is released or has failed to be."""
        self._record.note("release-requested", request.reason, actor=request.actor)
        if self._containments is not None:
            problems = await self._containments.leases.release(request)
            if problems:
                raise ApplicationError(
                    "; ".join(problems), "Look at the target and who acts on it, then ask again.", type="release-failed"
                )
        return self._record.snapshot

    @release.validator
    def _check_release(self, request: ReleaseRequest) -> None:
        if self._containments is None or not self._containments.leases.releasable(request):
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
        self._record.note("close-requested", request.reason, actor=request.actor)
        return self._record.snapshot

    @close.validator
    def _check_close(self, request: CloseRequest) -> None:  # noqa: ARG002 - a validator takes what its update takes
        if self._containments is not None:
            raise ApplicationError(
                f"Incident {self._start.incident_id} goes through its stages by itself.",
                "Release its targets, or decide on its gates.",
                type="not-in-triage",
                non_retryable=True,
            )

    @workflow.query
    def snapshot(self) -> IncidentSnapshot:
        """The incident as it stands."""
        return self._record.snapshot

    async def _announce_gate(self, status: GateStatus) -> None:
        self._record.gate_changed(status)

    async def _respond(self, playbook: Playbook, containments: Containments) -> None:
        """What follows the cut; a later run goes on with the release."""
        aftermath = Aftermath(self._start, playbook, containments, self._record)
        if self._start.so_far is None:
            await aftermath.collect()
            self._repaired = await aftermath.remediate()
        await self._release_targets(playbook, containments)
        self._record.enter("learn", "the report")
        await self._waits.until(lambda: self._record.clean)
        await aftermath.learn()

    def _describe(self, playbook: Playbook) -> None:
        received = self._start.alerts.first
        self._record.note(
            "alert-received", f"{received.alert.rule.name} from {received.source}.", signed=received.signed
        )
        self._record.enter("triage")
        names = ", ".join(t.name for t in self._start.targets)
        self._record.note("triaged", f"Targets: {names}. Playbook: {playbook.name}.")
        self._record.enter("contain")

    async def _release_targets(self, playbook: Playbook, containments: Containments) -> None:
        self._record.enter("release", "containment to settle")
        await self._waits.until(lambda: containments.leases.settled)
        if not containments.leases.held:
            return
        if playbook.release.when == "remediated" and self._repaired:
            self._repaired = False  # what can't be let go at this one request is left to people
            await containments.leases.release(ReleaseRequest(actor="playbook", reason="remediation is confirmed"))
        if containments.leases.held:
            self._record.update(waiting_for="release by a person")
        await self._waits.until(lambda: not containments.leases.held)

    def _only_waits(self) -> bool:
        return self._containments is None or self._containments.only_held

    def _so_far(self, in_short: bool) -> IncidentSoFar:
        return self._record.so_far(self._counted_to, repaired=self._repaired, in_short=in_short)

    async def _wait_for_people(self) -> None:
        if self._start.so_far is None:
            self._tell_people()
        await self._waits.until(lambda: self._close is not None)

    def _tell_people(self) -> None:
        start, first = self._start, self._start.alerts.first
        self._record.enter("triage", "a person: triage, then close")
        why = "it names no workload we know, or more than one" if not start.targets else "no playbook answers it"
        summary = f"{first.alert.rule.name} from {first.source}: {why}. Nothing was contained."
        self._record.note("triage-needed", summary)

    async def _write_after_fast_path(self, containments: Containments) -> None:
        try:
            await workflow.wait_condition(lambda: containments.fast_path_done, timeout=FAST_PATH)
        except TimeoutError:
            workflow.logger.info("the first order is still under way; recording starts")
        await self._record.keep_writing()
