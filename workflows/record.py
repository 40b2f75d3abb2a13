"""The record of one incident: its snapshot and the events that have not reached the ledger yet.

Owns how the workflow's state becomes the projection that people see. Holds no decision: what to do is in
`workflows.incident`. Events are written in batches, never on the fast path.
"""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.incident import (
        GateStatus,
        IncidentEvent,
        IncidentSnapshot,
        IncidentSoFar,
        IncidentStart,
        RecordIncident,
        Stage,
        TargetStatus,
    )
    from playbooks.gates import breaks_glass

RETRY_INTERVAL = timedelta(seconds=10)
Detail = str | int | float | bool | None


class IncidentRecord:
    """Collects what happened and brings it to the ledger."""

    def __init__(self, start: IncidentStart) -> None:
        so_far = start.so_far
        self.snapshot = so_far.snapshot if so_far else _opened(start)
        self._written = so_far.written if so_far else 0
        self._events: list[IncidentEvent] = list(so_far.events) if so_far else []
        # Ends of leases as the ledger shows them.
        self._shown: dict[str, datetime | None] = {}
        self._dirty = so_far is not None
        self._finished = self._handed_over = False
        self._writing = False

    def note(self, kind: str, summary: str, actor: str = "workflow", **details: Detail) -> None:
        """Add one line to the timeline."""
        event = IncidentEvent(
            at=workflow.now(), stage=self.snapshot.stage, kind=kind, actor=actor, summary=summary, details=details
        )
        self._events.append(event)
        self._dirty = True

    def enter(self, stage: Stage, waiting_for: str = "") -> None:
        """Go on to a stage."""
        self.update(stage=stage, waiting_for=waiting_for)

    def update(self, **changes: object) -> None:
        """Change fields of the snapshot."""
        self._replace(**changes)
        self._dirty = True

    def _replace(self, **changes: object) -> None:
        self.snapshot = self.snapshot.model_copy(update={**changes, "updated_at": workflow.now()})

    def target(self, target_id: str) -> TargetStatus | None:
        """Where one target stands."""
        return next((t for t in self.snapshot.targets if t.workload.workload_id == target_id), None)

    def set_target(self, status: TargetStatus) -> None:
        """Replace the status of one target."""
        self.update(targets=self._with(status))

    def _with(self, status: TargetStatus) -> tuple[TargetStatus, ...]:
        others = (t for t in self.snapshot.targets if t.workload.workload_id != status.workload.workload_id)
        return (*others, status)

    def renew(self, status: TargetStatus) -> None:
        """Replace the end of a lease, and nothing else of a target.

        The ledger need not hear of each: the end that it shows is never later than the true one. It hears before that
        one has passed, and then of all targets at once.
        """
        self._replace(targets=self._with(status))
        shown, until = self._shown.get(status.workload.workload_id), status.lease_until
        # Leases are renewed three times in their length: the next one comes before half of it is over.
        if shown is None or until is None or shown - workflow.now() < (until - workflow.now()) / 2:
            self._dirty = True

    def set_gate(self, status: GateStatus) -> None:
        """Replace the status of one gate."""
        others = [g for g in self.snapshot.gates if g.gate.gate_id != status.gate.gate_id]
        self.update(gates=(*others, status))

    def gate_changed(self, status: GateStatus) -> None:
        """Note what is new about a gate: that it opened, each decision, its outcome."""
        gate = status.gate
        before = next((g for g in self.snapshot.gates if g.gate.gate_id == gate.gate_id), None)
        decided = len(before.gate.decisions) if before else 0
        self.set_gate(status)
        if before is None:
            deadline = gate.deadline.isoformat()
            self.note("gate-opened", gate.question, plan_hash=gate.plan_hash, deadline=deadline)
        elif gate.escalated_at and not before.gate.escalated_at:
            decided = 0
            self.note("gate-escalated", gate.question, deadline=gate.deadline.isoformat())
        for decision in gate.decisions[decided:]:
            actor, verdict = decision.actor, decision.verdict
            summary = f"{actor.removeprefix('user:')} says {verdict} on {gate.gate_id}. {decision.reason}"
            kind = "break-glass" if breaks_glass(gate, decision) else "decision"
            self.note(kind, summary, actor=actor, plan_hash=decision.plan_hash, verdict=verdict)
        if status.outcome and (before is None or before.outcome is None):
            self.note("gate-closed", f"{gate.gate_id} is {status.outcome}.", outcome=status.outcome)
        self.update(waiting_for="" if status.outcome else f"decision on {gate.gate_id}")

    async def flush(self) -> None:
        """Wait until the ledger holds everything noted so far."""
        await workflow.wait_condition(lambda: self.clean)

    async def keep_writing(self) -> None:
        """Write whatever is new until `finish`; one write at a time, so that the ledger sees an order."""
        while True:
            await workflow.wait_condition(lambda: self._dirty or self._finished)
            # What is still to be written when the run ends belongs to the next one: twice, one of them would be lost.
            if not self._dirty or self._handed_over:
                return
            await self._write()

    @property
    def clean(self) -> bool:
        """Whether the ledger holds everything noted so far."""
        return not self._dirty and not self._writing

    @property
    def writing(self) -> bool:
        """Whether a write is under way; what comes of it only this run can hear."""
        return self._writing

    def hand_over(self, counted_to: int, *, repaired: bool) -> IncidentSoFar:
        """What the next run goes on from, and still has to write; this one writes no more."""
        self._handed_over = True
        return IncidentSoFar(
            snapshot=self.snapshot,
            written=self._written,
            events=tuple(self._events),
            counted_to=counted_to,
            repaired=repaired,
        )

    def finish(self) -> None:
        """Let `keep_writing` return once everything is written."""
        self._finished = True

    async def _write(self) -> None:
        events, self._events, self._dirty, self._writing = tuple(self._events), [], False, True
        self._written += 1
        self._shown = {t.workload.workload_id: t.lease_until for t in self.snapshot.targets}
        record = RecordIncident(sequence=self._written, snapshot=self.snapshot, events=events)
        while not await self._brought(record):
            await workflow.sleep(RETRY_INTERVAL)
        self._writing = False

    async def _brought(self, record: RecordIncident) -> bool:
        """The ledger may be away for long, or refuse until somebody repairs it: nothing is ever given up."""
        try:
            await workflow.execute_activity(
                "record_incident",
                record,
                start_to_close_timeout=timedelta(seconds=20),
                retry_policy=RetryPolicy(maximum_interval=RETRY_INTERVAL),
            )
        except ActivityError:
            workflow.logger.exception("the ledger refuses write %d", record.sequence)
            return False
        return True


def _opened(start: IncidentStart) -> IncidentSnapshot:
    first, now = start.alerts.first, workflow.now()
    return IncidentSnapshot(
        incident_id=start.incident_id,
        correlation_key=start.correlation_key,
        title=first.alert.rule.name,
        stage="detect",
        severity=first.alert.event.severity,
        playbook=start.playbook.name if start.playbook else None,
        alerts=len(start.alerts.ids),
        first_alert=first,
        names={host.workload_id: host.name for host in (*start.targets, *start.witnesses)},
        opened_at=now,
        updated_at=now,
    )
