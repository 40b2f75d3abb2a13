"""The few moments of an incident that everybody asks for.

Owns which they are, where each is read from, and how far apart they are. A moment that never came stays on
the line without a time. Pure.

    milestones_of(snapshot, timeline)   # -> received, cut, proven, repair decided, released
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from activities.contracts.incident import IncidentEvent, IncidentSnapshot
from activities.report.words import span, utc

_DECIDED = {"contain": "Containment decided", "remediate": "Repair decided"}


@dataclass(frozen=True)
class Milestone:
    """A moment, and how long after the one before it; `at` None: it has not come."""

    label: str
    at: datetime | None
    after: str = ""


def milestones_of(snapshot: IncidentSnapshot, timeline: Sequence[IncidentEvent]) -> tuple[Milestone, ...]:
    """In order of time; what has not come stands last."""
    verdicts = {target.proof.verdict for target in snapshot.targets if target.proof}
    proven = "Proven" if verdicts == {"effective"} else "Measured"
    line = [
        Milestone("Alert received", utc(snapshot.first_alert.received_at)),
        Milestone("Traffic cut", moment_of("cut", snapshot)),
        Milestone(proven, moment_of("proven", snapshot)),
        *_decisions(snapshot, timeline),
        Milestone("Released", _latest(e.at for e in timeline if e.kind == "target-released")),
    ]
    came = sorted((m for m in line if m.at), key=lambda milestone: milestone.at or snapshot.opened_at)
    return (*_spaced(came), *(m for m in line if not m.at))


def moment_of(what: str, snapshot: IncidentSnapshot) -> datetime | None:
    """When the last target was `cut`, or the last measurement was taken (`proven`)."""
    if what == "cut":
        return _latest(target.applied_at for target in snapshot.targets)
    measurements = (m for target in snapshot.targets if target.proof for m in target.proof.measurements)
    return _latest(measurement.measured_at for measurement in measurements)


def _decisions(snapshot: IncidentSnapshot, timeline: Sequence[IncidentEvent]) -> list[Milestone]:
    """One milestone for each kind of gate: the last decision on it."""
    kinds = dict.fromkeys(status.gate.gate_id.partition(".")[0] for status in snapshot.gates)
    found = []
    for kind in kinds:
        hashes = {g.gate.plan_hash for g in snapshot.gates if g.gate.gate_id.partition(".")[0] == kind}
        decided = (e for e in timeline if e.kind == "decision" and e.details.get("plan_hash") in hashes)
        found.append(Milestone(_DECIDED.get(kind, "Decided"), _latest(event.at for event in decided)))
    return found or [Milestone("Decided", None)]


def _latest(moments: Iterable[datetime | None]) -> datetime | None:
    return max((utc(moment) for moment in moments if moment is not None), default=None)


def _spaced(came: list[Milestone]) -> list[Milestone]:
    spans = [span(b.at - a.at) for a, b in pairwise(came) if a.at and b.at]
    return [replace(milestone, after=after) for milestone, after in zip(came, ["", *spans], strict=True)]
