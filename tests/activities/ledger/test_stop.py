from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from activities.contracts.incident import ReadStop, StopState
from activities.ledger.ledger import Ledger
from activities.ledger.recording import Recording
from tests.activities.ledger.making import at_once

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def set_stop(ledger: Ledger, actor: str = "user:ana", reason: str = "the SIEM errs", minutes: int = 0) -> StopState:
    return ledger.stop.set(actor=actor, reason=reason, now=NOW + timedelta(minutes=minutes))


def test_the_stop_is_off_until_somebody_sets_it(ledger: Ledger) -> None:
    assert ledger.stop.read() == StopState()
    assert ledger.stop.read().restraint == ""


def test_a_stop_says_since_when_by_whom_and_why(ledger: Ledger) -> None:
    assert (
        set_stop(ledger)
        == ledger.stop.read()
        == StopState(on=True, since=NOW, actor="user:ana", reason="the SIEM errs")
    )
    assert ledger.stop.read().restraint == (
        "the global stop is on since 2026-03-04 05:06:07 UTC by user:ana: the SIEM errs"
    )


def test_every_process_sees_it_at_once_and_so_does_a_workflow(open_ledger: Callable[[], Ledger]) -> None:
    one, other = open_ledger(), open_ledger()
    asked = Recording(other, lambda *_: None)
    set_stop(one)
    assert asked.read_stop(ReadStop(incident_id="inc-1")).on
    one.stop.lift(actor="user:root", reason="repaired")
    assert not asked.read_stop(ReadStop(incident_id="inc-1")).on


def test_a_stop_that_is_on_stays_the_first_ones_and_the_second_is_written_down(ledger: Ledger) -> None:
    first = set_stop(ledger)
    assert set_stop(ledger, "user:ben", "me too", minutes=5) == first
    assert [(e.kind, e.actor, e.body["was_on"]) for e in ledger.audit.events()] == [
        ("stop-on", "user:ana", False),
        ("stop-on", "user:ben", True),
    ]


def test_setting_and_lifting_stand_in_the_audit_chain_with_their_reasons(ledger: Ledger) -> None:
    set_stop(ledger)
    assert ledger.stop.lift(actor="user:root", reason="repaired").on
    on, off = ledger.audit.events()
    assert (on.kind, on.actor, on.body["reason"]) == ("stop-on", "user:ana", "the SIEM errs")
    assert (off.kind, off.actor, off.body["reason"]) == ("stop-off", "user:root", "repaired")
    assert off.body["was"]["actor"] == "user:ana"
    assert ledger.audit.verify().ok
    assert ledger.stop.read() == StopState()


def test_a_stop_that_can_not_be_written_down_is_not_set(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError("no space left")

    # A disk that fills up between two statements is nothing that a test can order.
    monkeypatch.setattr(ledger.audit, "append_within", full)
    with pytest.raises(OSError, match="no space"):
        set_stop(ledger)
    assert not ledger.stop.read().on


def test_of_many_who_set_it_at_once_one_is_the_first(open_ledger: Callable[[], Ledger]) -> None:
    ledgers = [open_ledger(), open_ledger()]
    said = at_once([partial(set_stop, ledgers[n % 2], f"user:{n}") for n in range(6)])
    assert len({state.actor for state in said}) == 1
    assert sum(not event.body["was_on"] for event in ledgers[0].audit.events()) == 1
