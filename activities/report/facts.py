"""What the report says, drawn from the snapshot and the timeline alone.

Owns the verdict, the milestones and the tables behind the page. Says nothing that they don't: what was not
measured is not proven, what has no time has none. Pure; nothing here knows HTML.

    facts = gather(snapshot, timeline)
    facts.verdict.headline    # -> "Contained in 43 ms, and proven"
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from activities.contracts.evidence import Acquisition, CollectedItem
from activities.contracts.incident import GateStatus, IncidentEvent, IncidentSnapshot, TargetStatus
from activities.report.answers import ASPECTS, CUT_ASPECTS, Answer, Tone, answer
from activities.report.milestones import Milestone, milestones_of, moment_of
from activities.report.words import listed, span, utc
from playbooks.gates import Decision
from playbooks.proof import Measurement, Proof

_HELD_STATES = {"isolated", "released", "expired"}


@dataclass(frozen=True)
class Verdict:
    """The first thing a reader sees."""

    tone: Tone
    headline: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Probe:
    """One measurement as a row."""

    measurement: Measurement
    aspect: str
    answer: Answer


@dataclass(frozen=True)
class TargetFacts:
    """One target: what was measured of it, apart by what had to be cut and what had to stay."""

    status: TargetStatus
    summary: tuple[tuple[str, Answer], ...]
    cut: tuple[Probe, ...]
    stayed: tuple[Probe, ...]


@dataclass(frozen=True)
class Ballot:
    """A gate with its decisions and their times, where the timeline has them."""

    status: GateStatus
    decisions: tuple[tuple[Decision, datetime | None], ...]


@dataclass(frozen=True)
class Figure:
    """One number of the first page."""

    value: str
    label: str
    note: str


@dataclass(frozen=True)
class Facts:
    """Everything that the template shows beside the snapshot itself."""

    verdict: Verdict
    figures: tuple[Figure, ...]
    milestones: tuple[Milestone, ...]
    targets: tuple[TargetFacts, ...]
    ballots: tuple[Ballot, ...]
    evidence: tuple[tuple[CollectedItem, str], ...]


def gather(snapshot: IncidentSnapshot, timeline: Sequence[IncidentEvent]) -> Facts:
    """All facts of one incident."""
    return Facts(
        verdict=_verdict(snapshot),
        figures=_figures(snapshot),
        milestones=milestones_of(snapshot, timeline),
        targets=tuple(_target(status) for status in snapshot.targets),
        ballots=tuple(_ballot(status, timeline) for status in snapshot.gates),
        evidence=tuple((item, losses(item.acquisition)) for item in _in_order(snapshot)),
    )


def losses(acquisition: Acquisition) -> str:
    """The tool's own counters in one line; empty where it has none."""
    counters = (
        ("packets in the file", acquisition.packets_captured),
        ("received", acquisition.packets_received),
        ("dropped by the kernel", acquisition.packets_dropped_kernel),
        ("dropped by the interface", acquisition.packets_dropped_interface),
        ("events", acquisition.events),
        ("events lost", acquisition.events_lost),
    )
    return ", ".join(f"{count:,} {name}" for name, count in counters if count is not None)


def _verdict(snapshot: IncidentSnapshot) -> Verdict:
    targets = snapshot.targets
    held = [target for target in targets if target.applied_at and target.state in _HELD_STATES]
    if not held:
        reasons = tuple(f"{t.workload.name}: {t.state}. {t.reason}".strip() for t in targets)
        return Verdict("bad" if targets else "care", "Nothing was contained", reasons or (_untouched(snapshot),))
    proven = [target for target in held if target.proof and target.proof.verdict == "effective"]
    took = _time_to_contain(snapshot)
    sentences = tuple(sentence for target in targets for sentence in _sentences(target))
    whole = len(held) == len(targets)
    start = "Contained" if whole else f"{len(held)} of {len(targets)} targets contained"
    start += f" in {span(took)}" if took is not None else ""
    if whole and len(proven) == len(held):
        return Verdict("good", f"{start}, and proven", sentences)
    return Verdict("care", f"{start}, but not proven" if len(proven) < len(held) else start, sentences)


def _untouched(snapshot: IncidentSnapshot) -> str:
    if snapshot.playbook is None:
        return "No playbook answers this alert, or it names no workload we know. People triaged it."
    return "No workload was touched."


def _sentences(target: TargetStatus) -> list[str]:
    name, proof = target.workload.name, target.proof
    if target.state not in _HELD_STATES:
        return [f"{name} is {target.state}. {target.reason}".strip()]
    if proof is None or proof.verdict == "unproven":
        said = [f"{name} was isolated, {_read_back(proof)}."]
    elif proof.verdict == "partial":
        said = [f"{name} was isolated, but {listed(list(proof.reasons))}."]
    else:
        cut = [m for m in proof.measurements if m.independent and m.aspect in CUT_ASPECTS and m.result == "cut"]
        witnesses = sorted({m.witness for m in cut})
        # Only what was measured: a host without IPv6 is cut off without a word on it.
        kinds = {"new": proof.new, "established": proof.established, "IPv6": proof.ipv6}
        stopped = listed([kind for kind, result in kinds.items() if result == "cut"])
        said = [f"{len(witnesses)} other hosts measured that {stopped} traffic of {name} stopped."]
        said = [said[0].replace("1 other hosts", "Another host")]
        said.append("Its management lifeline stayed up.")
    return [*said, *_ended(target)]


def _read_back(proof: Proof | None) -> str:
    """What is known where nobody measured: of a platform, whether its settings read back as set."""
    said = {
        "stands": "its settings read back as set, and nobody measured their effect",
        "differs": "and its settings do not read back as set",
        "unknown": "and its settings could not be read back",
    }
    known = proof.configuration if proof is not None else None
    return said[known] if known is not None else "and nobody could measure the effect"


def _ended(target: TargetStatus) -> list[str]:
    name = target.workload.name
    if target.state == "released":
        after = {True: "everything is as it was before", False: "something differs from before", None: ""}
        return [f"{name} is released" + (f"; {after[target.restored]}" if target.restored is not None else "") + "."]
    return [f"The lease on {name} has ended."] if target.state == "expired" else [f"{name} is still isolated."]


def _time_to_contain(snapshot: IncidentSnapshot) -> timedelta | None:
    """From the alert's arrival to the last cut; None where two clocks contradict each other."""
    cuts = [utc(target.applied_at) for target in snapshot.targets if target.applied_at]
    took = max(cuts) - utc(snapshot.first_alert.received_at) if cuts else None
    return took if took is not None and took >= timedelta(0) else None


def _figures(snapshot: IncidentSnapshot) -> tuple[Figure, ...]:
    took, proven = _time_to_contain(snapshot), moment_of("proven", snapshot)
    until_proof = proven - utc(snapshot.first_alert.received_at) if proven else None
    whole = sum(item.outcome.state == "collected" for item in snapshot.evidence)
    packets = [item.acquisition.packets_captured or 0 for item in snapshot.evidence]
    lost = [
        (item.acquisition.packets_dropped_kernel or 0) + (item.acquisition.packets_dropped_interface or 0)
        for item in snapshot.evidence
    ]
    signed = "signed by its source" if snapshot.first_alert.signed else "not signed by its source"
    return (
        Figure(span(took) if took is not None else "-", "to contain", "alert received until traffic was cut"),
        Figure(span(until_proof) if until_proof else "-", "to prove", "alert received until the last measurement"),
        Figure(
            f"{whole} of {len(packets)}",
            "evidence items whole",
            f"{sum(packets):,} packets, {sum(lost):,} lost",
        ),
        Figure(f"{snapshot.alerts:,}", "alerts counted" if snapshot.alerts != 1 else "alert counted", signed),
    )


def _target(status: TargetStatus) -> TargetFacts:
    proof = status.proof
    if proof is None:
        return TargetFacts(status, (), (), ())
    results = {
        "new": proof.new,
        "established": proof.established,
        "ipv6": proof.ipv6,
        "lifeline": proof.lifeline,
        "bystander": proof.bystanders,
    }
    probes = tuple(Probe(m, ASPECTS[m.aspect], answer(m.aspect, m.result)) for m in proof.measurements)
    return TargetFacts(
        status=status,
        summary=tuple((ASPECTS[aspect], answer(aspect, result)) for aspect, result in results.items()),
        cut=tuple(probe for probe in probes if probe.measurement.aspect in CUT_ASPECTS),
        stayed=tuple(probe for probe in probes if probe.measurement.aspect not in CUT_ASPECTS),
    )


def _ballot(status: GateStatus, timeline: Sequence[IncidentEvent]) -> Ballot:
    times = {
        (event.actor, str(event.details.get("plan_hash"))): event.at for event in timeline if event.kind == "decision"
    }
    decisions = tuple((d, times.get((d.actor, d.plan_hash))) for d in status.gate.decisions)
    return Ballot(status, decisions)


def _in_order(snapshot: IncidentSnapshot) -> list[CollectedItem]:
    return sorted(snapshot.evidence, key=lambda item: (item.volatility_rank, item.evidence_id))
