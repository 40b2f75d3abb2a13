from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from activities.ledger.ledger import Ledger
from tests.activities.ledger.making import at_once

BODIES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aé\x00\u2028🔥"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab\x00🔥", max_size=3), inner, max_size=3),
    max_leaves=8,
)

RELINKED = "update audit_events set prev_hash = (select hash from audit_events where seq = 2) where seq = 4"
APPENDED = (
    "insert into audit_events select 6, at, kind, actor, incident_id, body, hash, hash from audit_events where seq = 5"
)


def filled(ledger: Ledger, events: int = 5) -> Ledger:
    for number in range(events):
        ledger.audit.append(kind="order-refused", actor="agent:web", body={"number": number}, incident_id="inc-1")
    return ledger


def tamper(url: str, *statements: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg") if url.startswith("postgresql") else url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_a_chain_that_nobody_touched_holds(ledger: Ledger) -> None:
    verdict = filled(ledger).audit.verify()
    assert (verdict.ok, verdict.events, verdict.first_failure) == (True, 5, "")


def test_an_empty_chain_holds(ledger: Ledger) -> None:
    assert ledger.audit.verify().ok


@pytest.mark.parametrize(
    ("statements", "failure"),
    [
        (["update audit_events set body = '{\"number\":9}' where seq = 3"], "event 3"),
        (["update audit_events set body = 'no json' where seq = 3"], "event 3"),
        (["update audit_events set actor = 'user:eve' where seq = 1"], "event 1"),
        (["update audit_events set incident_id = null where seq = 2"], "event 2"),
        (["delete from audit_events where seq = 2"], "event 2 is missing"),
        (["delete from audit_events where seq = 1"], "event 1 is missing"),
        (["delete from audit_events where seq = 5"], "ends at event 4, the ledger had noted 5"),
        (["delete from audit_events"], "ends at event 0, the ledger had noted 5"),
        (
            [
                "update audit_events set seq = 99 where seq = 2",
                "update audit_events set seq = 2 where seq = 3",
                "update audit_events set seq = 3 where seq = 99",
            ],
            "event 2",
        ),
        (
            [
                "delete from audit_events where seq = 3",
                RELINKED,
                "update audit_events set seq = 3 where seq = 4",
            ],
            "event 3",
        ),
        (
            [APPENDED],
            "event 6",
        ),
    ],
)
def test_tampering_is_found_and_named(ledger: Ledger, ledger_url: str, statements: list[str], failure: str) -> None:
    filled(ledger)
    tamper(ledger_url, *statements)
    verdict = ledger.audit.verify()
    assert not verdict.ok
    assert failure in verdict.first_failure


def test_a_cut_end_stays_visible_after_new_events(ledger: Ledger, ledger_url: str) -> None:
    filled(ledger)
    tamper(ledger_url, "delete from audit_events where seq = 5")
    filled(ledger, events=1)
    assert "event 5 is missing" in ledger.audit.verify().first_failure


def test_writers_at_once_make_one_chain(open_ledger: Callable[[], Ledger]) -> None:
    ledgers = [open_ledger(), open_ledger()]
    at_once([partial(filled, ledgers[n % 2], events=5) for n in range(6)])
    verdict = ledgers[0].audit.verify()
    assert (verdict.ok, verdict.events) == (True, 30)


def test_verifying_while_others_append_sees_one_state(open_ledger: Callable[[], Ledger]) -> None:
    ours, theirs = filled(open_ledger(), 20), open_ledger()
    verifying = [lambda: all(ours.audit.verify().ok for _ in range(15))]
    appending = [lambda: filled(theirs, 40).audit.verify().ok]
    assert at_once([*verifying, *appending]) == [True, True]


def test_the_head_is_the_hash_of_the_last_event(ledger: Ledger) -> None:
    last = ledger.audit.append(kind="host-joined", actor="agent:web", body={})
    assert ledger.audit.verify().head == last


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.dictionaries(st.text("ab\x00🔥", max_size=3), BODIES, max_size=4))
def test_any_json_body_is_hashed_the_same_when_it_is_read_back(ledger: Ledger, body: dict[str, object]) -> None:
    ledger.audit.append(kind="any", actor="user:alice", body=body)
    assert ledger.audit.verify().ok


def test_events_are_read_newest_first_choice_or_page_by_page(ledger: Ledger) -> None:
    for number in range(5):
        ledger.audit.append(kind="tried", actor="test", body={"number": number}, incident_id=f"inc-{number % 2}")
    assert [event.body["number"] for event in ledger.audit.events(limit=2)] == [3, 4]
    page = ledger.audit.events(after=0, limit=2)
    assert [event.body["number"] for event in page] == [0, 1]
    assert [event.body["number"] for event in ledger.audit.events(after=page[-1].seq)] == [2, 3, 4]
    assert [event.body["number"] for event in ledger.audit.events(incident_id="inc-1")] == [1, 3]
