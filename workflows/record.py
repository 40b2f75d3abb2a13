"""The record of one incident: its snapshot and the events that have not reached the ledger yet.

Owns how the workflow's state becomes the projection that people see. Holds no decision: what to do is in
`workflows.incident`. Events are written in batches, never on the fast path; how, is in `workflows.writing`.
"""

from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.contracts.incident import (
        GateStatus,
        IncidentEvent,
        IncidentSnapshot,
        IncidentSoFar,
        IncidentStart,
        LeaseRenewed,
        Stage,
        TargetStatus,
    )
    from playbooks.gates import breaks_glass

from workflows.listing import of_target
from workflows.writing import LedgerWriter

# Lines in one write: more of them, after a ledger was away for long, are neither a payload nor a notice to the SIEM.
LINES_PER_WRITE = 500
# Lines about repeats of the alert that wait to be written; of a flood, the last of them tells the rest.
COUNTS_WAITING = 20
COUNTED = "alerts-counted"
Detail = str | int | float | bool | None


class IncidentRecord:
    """Collects what happened and brings it to the ledger."""

    def __init__(self, start: IncidentStart) -> None:
        so_far = start.so_far
        self.snapshot = so_far.snapshot if so_far else _opened(start)
        self._writer = LedgerWriter(so_far)
        self._events: list[IncidentEvent] = list(so_far.events) if so_far else []
        # Ends of leases as the ledger shows them.
        self._shown: dict[str, datetime | None] = {}
        self._dirty = so_far is not None
        self._finished = False

    def note(self, kind: str, summary: str, actor: str = "workflow", **details: Detail) -> None:
        """Add one line to the timeline."""
        now, stage = workflow.now(), self.snapshot.stage
        self._events.append(
            IncidentEvent(at=now, stage=stage, kind=kind, actor=actor, summary=summary, details=details)
        )
        self._dirty = True

    def count_alerts(self, fresh: int, rule: str) -> None:
        """Count repeats of the alert: in a line of their own, unless a flood of those waits to be written already."""
        total = self.snapshot.alerts + fresh
        self.update(alerts=total)
        waiting = [event for event in self._events if event.kind == COUNTED]
        if len(waiting) < COUNTS_WAITING:
            self.note(COUNTED, f"{fresh} more of {rule}: {total} in all.", count=fresh)
            return
        last = waiting[-1]
        self._events.remove(last)
        count, merged = int(last.details["count"] or 0) + fresh, int(last.details.get("merged") or 1) + 1
        since = last.details.get("since") or last.at.isoformat()
        words = f"{count} more, the last of {rule}: {total} in all; told {merged} times, written down once."
        self.note(COUNTED, words, count=count, merged=merged, since=since)

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
        """Replace the status of one target; of a plan that is too large to be kept here its holder alone knows."""
        self.update(targets=self._with(of_target(status, self.snapshot.targets)))

    def _with(self, status: TargetStatus) -> tuple[TargetStatus, ...]:
        others = (t for t in self.snapshot.targets if t.workload.workload_id != status.workload.workload_id)
        return (*others, status)

    def target_changed(self, status: TargetStatus) -> None:
        """Take where a target stands from whoever holds it; a line where that is news."""
        known = self.target(status.workload.workload_id)
        self.set_target(status)
        self._tell(known, status)

    def lease_renewed(self, renewed: LeaseRenewed) -> None:
        """Take the end of a lease from whoever holds it; a line where there is something to say about it."""
        known = self.target(renewed.target_id)
        if known is None:
            return
        status = known.model_copy(update={"lease_until": renewed.lease_until, "reason": renewed.reason})
        self._renew(status)
        self._tell(known, status)

    def _tell(self, known: TargetStatus | None, status: TargetStatus) -> None:
        words = _in_words(status)
        if known is None or _in_words(known) != words:
            self.note(f"target-{status.state}", words)

    def _renew(self, status: TargetStatus) -> None:
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

    async def keep_writing(self) -> None:
        """Write whatever is new until `finish`; one write at a time, so that the ledger sees an order."""
        while True:
            await self._writer.bring()
            await workflow.wait_condition(lambda: self._dirty or self._finished)
            # What is still to be written when the run ends belongs to the next one: twice, one of them would be lost.
            if not self._dirty or self._writer.handed_over:
                return
            self._begin_write()

    @property
    def clean(self) -> bool:
        """Whether the ledger holds everything noted so far."""
        return not self._dirty and not self.writing

    @property
    def writing(self) -> bool:
        """Whether a write is under way."""
        return self._writer.under_way is not None

    @property
    def refused(self) -> bool:
        """Whether the ledger has refused the write under way, which is tried again."""
        return self.writing and self._writer.refused

    def so_far(self, counted_to: int, *, repaired: bool, in_short: bool = False) -> IncidentSoFar:
        """What a next run goes on from, and still has to write.

        `in_short`: of the write under way its lines alone. Where it landed, nothing else of its number counts any more;
        where it did not, they come with the newer snapshot.
        """
        under_way = self._writer.under_way
        return IncidentSoFar(
            snapshot=self.snapshot,
            written=self._writer.written,
            events=tuple(self._events),
            counted_to=counted_to,
            repaired=repaired,
            under_way=None if in_short else under_way,
            lines_under_way=under_way.events if in_short and under_way else None,
        )

    def hand_over(self) -> None:
        """Write no more: the next run does."""
        self._writer.handed_over = True

    def finish(self) -> None:
        """Let `keep_writing` return once everything is written."""
        self._finished = True

    def _begin_write(self) -> None:
        many = len(self._events) > LINES_PER_WRITE and workflow.patched("long-writes-in-parts")
        lines = LINES_PER_WRITE if many else None
        events, self._events = tuple(self._events[:lines]), self._events[lines:] if lines else []
        self._dirty = bool(self._events)
        self._shown = {t.workload.workload_id: t.lease_until for t in self.snapshot.targets}
        self._writer.begin(self.snapshot, events)


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


def _in_words(status: TargetStatus) -> str:
    proof = f", {status.proof.verdict}" if status.proof else ""
    reason = f": {status.reason}" if status.reason else ""
    return f"{status.workload.name} is {status.state}{proof}{reason}."
