"""What ten taken hosts may answer at most fits, all together, into what an incident writes down."""

from datetime import UTC, datetime

import pytest

from activities.contracts.collecting import MAX_ITEMS
from activities.contracts.evidence import CollectedItem, Gap, Storage
from activities.contracts.host import MAX_PROCESSES, ProcessRef
from activities.contracts.incident import GateStatus, IncidentEvent, IncidentSnapshot, RecordIncident, TargetStatus
from playbooks.gates import Gate, GateSpec
from playbooks.proof import MAX_MEASUREMENTS, Measurement, Proof, conclude
from segmentation.bounds import CUT_MARK, PAYLOAD_BYTES, size_of
from segmentation.workloads import Workload
from tests.activities.contracts.test_hostile_answers import isolated, item
from tests.workflows.cast import received
from workflows.listing import (
    CHILD_BYTES,
    INTRUDERS_BYTES,
    ITEMS_BYTES,
    PROBLEMS,
    WORDS,
    of_intruders,
    of_items,
    of_proof,
    of_target,
    shares,
)
from workflows.orders import REASON
from workflows.remediate import in_words

NOW = datetime(2031, 5, 1, tzinfo=UTC)
TEN = range(10)
# Four bytes each: the most that a letter takes.
WIDE = "\N{GRINNING FACE}"


def items(host: int, number: int = MAX_ITEMS) -> tuple[CollectedItem, ...]:
    return tuple(item(f"{host}-{n}", WIDE * 2000).model_copy(update={"media_type": WIDE * 256}) for n in range(number))


def processes(host: int) -> tuple[ProcessRef, ...]:
    return tuple(
        ProcessRef(
            pid=1000 * host + n + 2,
            pgid=2,
            start_ticks=1,
            executable=WIDE * 1024,
            command=(WIDE * 256,) * 64,
            user=WIDE * 256,
            sockets=(WIDE * 256,) * 64,
        )
        for n in range(MAX_PROCESSES)
    )


def proof() -> Proof:
    one = Measurement(
        aspect="new",
        result="open",
        method=WIDE * 256,
        witness="app",
        subject="web",
        measured_at=NOW,
        detail=WIDE * 2000,
    )
    return of_proof(conclude((one,) * MAX_MEASUREMENTS))


def target(host: int, devices: int = 300) -> TargetStatus:
    said = isolated(devices)
    return TargetStatus(
        workload=Workload(workload_id=f"host-{host}", name=f"host-{host}"),
        state="isolated",
        change=said.change,
        observation=said.observation,
        applied_at=NOW,
        proof=proof(),
        reason=WIDE * REASON,
    )


def gate(host: int) -> GateStatus:
    asked = Gate(
        gate_id=f"remediate.host-{host}",
        incident_id="inc-1",
        question="End the intruder's processes?",
        plan_hash="sha256:" + "0" * 64,
        plan=tuple(map(in_words, processes(host))),
        spec=GateSpec(),
        requested_by="workflow",
        opened_at=NOW,
    )
    return GateStatus(gate=asked, workflow_id=f"incident-inc-1.remediate.host-{host}")


def test_the_largest_admissible_answers_of_ten_hosts_fit_one_payload() -> None:
    listed = of_items(shares([of_items(items(host), CHILD_BYTES) for host in TEN]), ITEMS_BYTES)
    targets: tuple[TargetStatus, ...] = ()
    for host in TEN:
        targets = (*targets, of_target(target(host), targets))
    snapshot = IncidentSnapshot(
        incident_id="inc-1",
        correlation_key="host:web",
        title="t",
        stage="remediate",
        severity=73,
        playbook="test",
        alerts=1,
        first_alert=received(),
        opened_at=NOW,
        updated_at=NOW,
        targets=targets,
        gates=tuple(map(gate, TEN)),
        intruders=of_intruders(shares([processes(host) for host in TEN]), INTRUDERS_BYTES),
        evidence=listed,
    )
    # Three collections of each host with problems of their own, and its orders that failed.
    said = [WIDE * WORDS] * (3 * PROBLEMS) + [f"collect_volatile: {WIDE * REASON}"] * 4
    lines = tuple(
        IncidentEvent(at=NOW, stage="forensics", kind="forensics-problem", actor="workflow", summary=words)
        for _ in TEN
        for words in said
    )

    assert len({one.evidence_id.split(".")[1].split("-")[0] for one in listed}) == len(TEN)
    assert size_of(RecordIncident(sequence=1, snapshot=snapshot, events=lines)) < PAYLOAD_BYTES


def test_an_item_is_listed_without_what_its_manifest_tells() -> None:
    (listed,) = of_items((item(reason="quiet"),), ITEMS_BYTES)

    assert (listed.evidence_id, listed.sha256, listed.outcome) == (
        item().evidence_id,
        "0" * 64,
        item(reason="quiet").outcome,
    )
    assert listed.acquisition.packets_captured == item().acquisition.packets_captured
    assert (listed.acquisition.command, listed.acquisition.filter) == ((), "")


def test_of_many_gaps_an_item_lists_the_first_and_the_whole_of_the_others() -> None:
    hours = [NOW.replace(hour=hour) for hour in range(10)]
    gaps = tuple(Gap(started=one, ended=one.replace(minute=1), reason=f"gap {one.hour}") for one in hours)
    acquisition = item().acquisition.model_copy(update={"gaps": gaps})
    (listed,) = of_items((item().model_copy(update={"acquisition": acquisition}),), ITEMS_BYTES)

    *first, rest = listed.acquisition.gaps
    assert tuple(first) == gaps[:3]
    assert (rest.started, rest.ended) == (hours[3], hours[9].replace(minute=1))
    assert rest.reason == "7 gaps, which the manifest tells"


def test_items_of_ten_ordinary_hosts_are_all_listed() -> None:
    kept = Storage(uri="s3://firebreak-evidence/case/inc-8d5e957f2974/artefacts/" + "k" * 60, checksum="0" * 64)
    ordinary = [item(f"{host}-{n}").model_copy(update={"storage": kept}) for host in TEN for n in range(25)]

    assert len(of_items(ordinary, ITEMS_BYTES)) == len(ordinary)


def test_many_items_of_one_host_leave_nobody_elses_out() -> None:
    assert [one.evidence_id.split(".")[1] for one in shares([items(1, 3), items(2, 1)])] == ["1-0", "2-0", "1-1", "1-2"]


def test_a_verdict_counts_measurements_that_are_not_listed() -> None:
    shown = proof()

    assert 0 < len(shown.measurements) < MAX_MEASUREMENTS
    assert (
        shown.reasons[-1] == f"{MAX_MEASUREMENTS - len(shown.measurements)} more measurements count, and are not listed"
    )


def test_a_plan_that_does_not_fit_stays_with_the_holder_of_its_lease() -> None:
    first, second = target(1), target(2)

    assert of_target(first, ()) == first
    assert of_target(first, (first,)) == first
    assert of_target(second, (first,)) == second.model_copy(update={"change": None, "observation": None})


@pytest.mark.parametrize("number", [1, 2])
def test_an_intruder_is_shown_in_few_words(number: int) -> None:
    shown = of_intruders(processes(1)[:number], INTRUDERS_BYTES)

    assert [one.pid for one in shown] == [one.pid for one in processes(1)[:number]]
    assert all(CUT_MARK in one.executable and len(one.sockets) <= 4 for one in shown)
