"""A ledger that is away, loses answers or refuses: the incident goes on in new runs, and each line is told once."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic_core import to_json
from temporalio.exceptions import ApplicationError

from activities.contracts.incident import IncidentEvent
from activities.ledger.ledger import Ledger
from tests.workflows.case import Case
from tests.workflows.cast import batch, incident_start
from tests.workflows.ledger_control import LedgerControl
from tests.workflows.waiting import eventually
from workflows import long_waits, record, writing


@pytest.fixture(autouse=True)
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The incident is long after three signals, and waits for the answer to a write for two more."""
    monkeypatch.setattr(long_waits, "NEWS_PER_RUN", 3)
    monkeypatch.setattr(long_waits, "NEWS_WHILE_WRITING", 2)
    monkeypatch.setattr(writing, "RETRY_INTERVAL", timedelta(seconds=1))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


async def held(case: Case) -> None:
    """Play an incident until only a person's word is missing."""
    await case.play()
    await case.desk.until(lambda s: s.waiting_for == "release by a person")
    await case.target("isolated", proven=True)


def lose_ledger(case: Case, error: Exception | None = None) -> None:
    case.desk.troubles["record_incident"] = error or RuntimeError("the database is away")


async def lose_answers(case: Case, control: LedgerControl) -> None:
    """From the next alert on; return once its line has landed, and nobody knows."""
    control.answers = False
    await case.handle().signal("alerts", batch(2))
    await eventually(lambda: bool(control.unheard))


async def flood(case: Case, first: int, alerts: int, *, runs: int = 1) -> None:
    """One alert a batch, handed over twice; the last of them again and again, until there were that many new runs."""
    seen = {await run_of(case)}

    async def hand_over(place: int) -> bool:
        await case.handle().signal("alerts", batch(place))
        seen.add(await run_of(case))
        return len(seen) > runs

    for place in range(first, first + alerts):
        await hand_over(place)
        await hand_over(place)
    await eventually(lambda: hand_over(first + alerts - 1))


async def run_of(case: Case) -> str:
    return str((await case.handle().describe()).run_id)


def counted(case: Case) -> int:
    return counted_in(case.desk.timeline)


def counted_in(timeline: list[IncidentEvent]) -> int:
    return sum(int(e.details["count"] or 0) for e in timeline if e.kind == "alerts-counted")


def numbers(case: Case) -> list[int]:
    return [written.sequence for written in case.desk.records]


async def test_a_flood_while_the_ledger_is_away_is_told_by_later_runs_and_nothing_else_is_left_out(case: Case) -> None:
    await held(case)
    lose_ledger(case)
    await flood(case, 2, 20)
    lease = (await case.snapshot()).targets[0].model_copy(update={"reason": "renewal failed: nobody answered"})
    await case.handle().signal("target_changed", lease)
    await flood(case, 22, 20)
    assert "renewal failed" not in str(case.desk.timeline)

    del case.desk.troubles["record_incident"]
    await case.desk.until(lambda s: s.alerts == 41)
    await case.release()
    final = await case.finish()

    assert (final.alerts, counted(case)) == (41, 40)
    assert numbers(case) == list(range(1, len(case.desk.records) + 1))
    assert case.desk.said("target-isolated")[-1].endswith("renewal failed: nobody answered.")
    moments = [event.at for event in case.desk.timeline]
    assert moments == sorted(moments)
    lines = [event for event in case.desk.timeline if event.kind == "alerts-counted"]
    together = [sum(event in lines for event in written.events) for written in case.desk.records]
    assert max(together) == record.COUNTS_WAITING
    merged = [line for line in lines if "merged" in line.details]
    assert sum(int(line.details["merged"] or 0) for line in merged) + len(lines) - len(merged) == 40
    assert merged[-1].summary == (
        f"{merged[-1].details['count']} more, the last of Repeated denied connections: 41 in all; "
        f"told {merged[-1].details['merged']} times, written down once."
    )


async def test_a_write_that_landed_unheard_is_repeated_as_it_was_and_stands_once(case: Case, ledger: Ledger) -> None:
    control = case.control = LedgerControl(ledger)
    await held(case)
    await lose_answers(case, control)
    await flood(case, 3, 15)
    await eventually(lambda: len(control.unheard) > 1)

    control.answers = True
    await case.desk.until(lambda s: s.alerts == 17)
    await case.release()
    final = await case.finish()

    again = [brought for brought in control.brought.values() if len(brought) > 1]
    assert again
    assert all(other == brought[0] for brought in again for other in brought)
    assert ledger.audit.verify().ok
    timeline = ledger.incidents.timeline(case.incident_id)
    assert timeline == [e for number in sorted(control.brought) for e in control.brought[number][0].events]
    assert counted_in(timeline) == 16
    assert ledger.incidents.incident(case.incident_id) == final


async def test_a_write_that_the_ledger_refuses_goes_on_in_the_next_run(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_waits, "NEWS_WHILE_WRITING", 10**6)
    await held(case)
    lose_ledger(case, ApplicationError("the ledger is damaged", type="ledger-unusable", non_retryable=True))
    await flood(case, 2, 3)

    del case.desk.troubles["record_incident"]
    await case.desk.until(lambda s: s.alerts == 4)
    await case.release()

    assert (await case.finish()).alerts == 4
    assert counted(case) == 3


async def test_an_incident_whose_report_waits_for_the_ledger_goes_on_in_the_next_run(case: Case) -> None:
    await held(case)
    lose_ledger(case)
    await case.release()
    await eventually(lambda: case.desk.calls[-1] == "record_incident")
    await flood(case, 2, 6)
    assert not case.desk.reported

    del case.desk.troubles["record_incident"]
    final = await case.finish()

    assert (final.status, final.alerts, counted(case)) == ("closed", 7, 6)
    assert [case.desk.kinds.count(kind) for kind in ("target-released", "report-written", "incident-closed")] == [1] * 3
    assert len(case.desk.reported) == 1


async def test_an_incident_that_was_closed_while_the_ledger_is_away_is_closed_once(case: Case) -> None:
    await case.play(targets=())
    await case.desk.until(lambda s: s.stage == "triage")
    lose_ledger(case)
    await case.close()
    await flood(case, 2, 6)

    del case.desk.troubles["record_incident"]
    final = await case.finish()

    assert (final.status, final.alerts, case.desk.snapshot) == ("closed", 7, final)
    assert [case.desk.kinds.count(kind) for kind in ("close-requested", "incident-closed")] == [1, 1]


async def test_what_is_too_long_to_be_handed_over_stays_with_its_run(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_waits, "MAX_BYTES", 1)
    monkeypatch.setattr(long_waits, "NEWS_UNTIL_NEXT_TRY", 2)
    await held(case)
    only = await run_of(case)
    lose_ledger(case)
    await flood(case, 2, 10, runs=0)
    del case.desk.troubles["record_incident"]
    await case.desk.until(lambda s: s.alerts == 11)
    await case.release()

    assert (await case.finish()).alerts == 11
    assert (await run_of(case), counted(case)) == (only, 10)


async def test_a_write_too_long_to_be_handed_over_whole_is_repeated_with_the_same_lines(
    case: Case, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = case.control = LedgerControl(ledger)
    await held(case)
    start, snapshot = (len(to_json(part)) for part in (incident_start("x", case.hosts), case.desk.snapshot))
    monkeypatch.setattr(long_waits, "MAX_BYTES", start + snapshot * 9 // 5)
    await lose_answers(case, control)
    await flood(case, 3, 11)
    await eventually(lambda: len(control.unheard) > 1)
    control.answers = True
    await case.desk.until(lambda s: s.alerts == 13)
    await case.release()
    final = await case.finish()

    again = [brought for brought in control.brought.values() if brought[-1] != brought[0]]
    assert again
    assert all(other.events == brought[0].events for brought in again for other in brought)
    assert counted_in(ledger.incidents.timeline(case.incident_id)) == 12
    assert ledger.incidents.incident(case.incident_id) == final


async def test_many_lines_that_waited_for_the_ledger_reach_it_in_several_writes(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    await held(case)
    monkeypatch.setattr(record, "LINES_PER_WRITE", 4)
    lose_ledger(case)
    await flood(case, 2, 15)

    del case.desk.troubles["record_incident"]
    await case.desk.until(lambda s: s.alerts == 16)
    await case.release()
    await case.finish()

    assert counted(case) == 15
    assert max(len(written.events) for written in case.desk.records[-4:]) <= 4
    assert numbers(case) == list(range(1, len(case.desk.records) + 1))
