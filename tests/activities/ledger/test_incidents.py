from datetime import timedelta

import pytest

from activities.contracts.incident import TargetStatus
from activities.ledger.errors import CursorInvalid
from activities.ledger.incidents import IncidentFilter
from activities.ledger.ledger import Ledger
from tests.activities.ledger.making import START, alert, received, record, workload


def ids(ledger: Ledger, **wanted: object) -> list[str]:
    page = ledger.incidents.incidents(IncidentFilter.model_validate(wanted))
    return [item.incident_id for item in page.items]


def test_a_record_is_the_snapshot_and_its_events_at_once(ledger: Ledger) -> None:
    wanted = record("inc-1", 1, "isolated", "proven")
    ledger.incidents.record(wanted)
    assert ledger.incidents.incident("inc-1") == wanted.snapshot
    assert ledger.incidents.timeline("inc-1") == list(wanted.events)
    assert ledger.audit.verify().events == 2


def test_a_retried_record_writes_nothing_twice(ledger: Ledger) -> None:
    ledger.incidents.record(record("inc-1", 1, "isolated"))
    ledger.incidents.record(record("inc-1", 1, "isolated"))
    assert len(ledger.incidents.timeline("inc-1")) == 1


def test_a_late_record_brings_its_events_and_leaves_the_newer_snapshot(ledger: Ledger) -> None:
    ledger.incidents.record(record("inc-1", 2, "second", stage="forensics"))
    ledger.incidents.record(record("inc-1", 1, "first", stage="contain"))
    snapshot = ledger.incidents.incident("inc-1")
    assert snapshot is not None
    assert snapshot.stage == "forensics"
    assert [event.summary for event in ledger.incidents.timeline("inc-1")] == ["second", "first"]


def test_an_event_that_canonical_json_refuses_leaves_no_half_record(ledger: Ledger) -> None:
    broken = record("inc-1", 1, "isolated")
    huge = broken.events[0].model_copy(update={"details": {"counter": 2**60}})
    with pytest.raises(ValueError, match="1152921504606846976"):
        ledger.incidents.record(broken.model_copy(update={"events": (huge,)}))
    assert ledger.incidents.incident("inc-1") is None
    ledger.incidents.record(broken)
    assert len(ledger.incidents.timeline("inc-1")) == 1


def test_what_was_closed_stays_closed(ledger: Ledger) -> None:
    ledger.incidents.record(record("inc-1", 1, status="closed", stage="closed"))
    ledger.incidents.record(record("inc-1", 2, status="open", stage="learn"))
    assert ids(ledger, status="open") == []


def test_the_workflows_snapshot_replaces_intakes_and_keeps_its_count(ledger: Ledger) -> None:
    accepted = ledger.intake.accept(received())
    for _ in range(2):
        ledger.intake.accept(received())
    ledger.incidents.record(record(accepted.incident_id, 1, alerts=1, title="Named by the workflow"))
    snapshot = ledger.incidents.incident(accepted.incident_id)
    assert snapshot is not None
    assert (snapshot.title, snapshot.alerts) == ("Named by the workflow", 3)


def test_lists_are_narrowed_by_every_filter(ledger: Ledger) -> None:
    isolated = TargetStatus(workload=workload("db", addresses=("10.66.0.4",)), state="isolated")
    ledger.incidents.record(record("inc-1", 1, severity=90, stage="contain", targets=(isolated,)))
    ledger.incidents.record(record("inc-2", 1, severity=20, stage="closed", status="closed", title="A 100% quiet_one"))
    assert ids(ledger, min_severity=50) == ["inc-1"]
    assert ids(ledger, stage="closed") == ["inc-2"]
    assert ids(ledger, status="open") == ["inc-1"]
    assert ids(ledger, host="DB") == ids(ledger, host="id-db") == ids(ledger, host="10.66.0.4") == ["inc-1"]
    assert ids(ledger, host="d") == []
    assert ids(ledger, text="100% QUIET_") == ["inc-2"]
    assert ids(ledger, text="100_") == []


def test_a_new_snapshot_replaces_the_hosts_it_is_found_by(ledger: Ledger) -> None:
    isolated = TargetStatus(workload=workload("db"), state="isolated")
    ledger.incidents.record(record("inc-1", 1, targets=(isolated,)))
    ledger.incidents.record(record("inc-1", 2))
    assert ids(ledger, host="db") == []


def test_pages_show_every_incident_once_newest_first(ledger: Ledger) -> None:
    for number in range(7):
        moment = START + timedelta(seconds=number // 2)  # two share a moment
        ledger.incidents.record(record(f"inc-{number}", 1, opened_at=moment))
    seen: list[str] = []
    cursor = None
    while True:
        page = ledger.incidents.incidents(limit=2, cursor=cursor)
        seen += [item.incident_id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [f"inc-{number}" for number in reversed(range(7))]


@pytest.mark.parametrize("cursor", ["", "!", "bm9wZQ", "WyIyMDI2LTAxLTAxIiwgImEiXQ", "W10", "\N{SNOWMAN}"])
def test_a_cursor_that_no_page_gave_out_is_refused(ledger: Ledger, cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        ledger.incidents.incidents(cursor=cursor)


def test_an_alert_of_an_unknown_host_is_an_open_incident_in_detect(ledger: Ledger) -> None:
    accepted = ledger.intake.accept(received(alert("ghost", severity=33)))
    (item,) = ledger.incidents.incidents(IncidentFilter(host="ghost")).items
    assert (item.incident_id, item.severity, item.playbook) == (accepted.incident_id, 33, None)
    assert item.waiting_for
