"""The journal: what was carried out, kept over restarts, bound to the step that ordered it."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from activities.orders.journal import KEEP_SECONDS, PRUNE_EVERY_SECONDS, OrderJournal, OrderReplayed

STEP = "incident-1/run-1/1"


def test_an_order_that_is_new_has_no_result(tmp_path: Path) -> None:
    journal = OrderJournal(tmp_path / "journal.db")

    assert journal.begin("o1", STEP, 1.0) is None
    journal.close()


def test_a_retry_finds_the_result_also_after_a_restart(tmp_path: Path) -> None:
    journal = OrderJournal(tmp_path / "journal.db")
    journal.begin("o1", STEP, 1.0)
    journal.finish("o1", b'{"done": true}')
    journal.close()

    again = OrderJournal(tmp_path / "journal.db")
    assert again.begin("o1", STEP, 2.0) == b'{"done": true}'
    again.close()


def test_an_order_that_was_begun_and_not_finished_is_carried_out_again(tmp_path: Path) -> None:
    journal = OrderJournal(tmp_path / "journal.db")
    journal.begin("o1", STEP, 1.0)

    assert journal.begin("o1", STEP, 2.0) is None
    journal.close()


@pytest.mark.parametrize("step", ["incident-2/run-1/1", "incident-1/run-2/1", "incident-1/run-1/2"])
def test_an_order_that_comes_back_from_another_step_is_a_replay(tmp_path: Path, step: str) -> None:
    journal = OrderJournal(tmp_path / "journal.db")
    journal.begin("o1", STEP, 1.0)

    with pytest.raises(OrderReplayed, match=f"Order o1 was given by {STEP} and came back from {step}"):
        journal.begin("o1", step, 2.0)
    journal.close()


def test_the_first_note_is_kept(tmp_path: Path) -> None:
    journal = OrderJournal(tmp_path / "journal.db")

    assert journal.note("o1", "observation", "before") == "before"
    assert journal.note("o1", "observation", "after") == "before"
    assert journal.note("o2", "observation", "after") == "after"
    journal.close()


def test_the_journal_is_for_its_owner_alone(tmp_path: Path) -> None:
    journal = OrderJournal(tmp_path / "agent" / "journal.db")

    assert (tmp_path / "agent").stat().st_mode & 0o077 == 0
    journal.close()


def test_orders_that_expired_long_ago_are_dropped_with_their_notes_and_no_others(tmp_path: Path) -> None:
    journal = OrderJournal(tmp_path / "journal.db")
    now = 100 * 86_400.0
    for order_id, expires_at in (("old", now - KEEP_SECONDS - 1), ("lately", now - 1), ("valid", now + 1)):
        journal.begin(order_id, STEP, 1.0, expires_at)
        journal.note(order_id, "key", "x")
    journal.begin("unknown", STEP, now - 1)

    assert journal.prune(now) == 1
    for order_id in ("lately", "valid", "unknown"):
        with pytest.raises(OrderReplayed):
            journal.begin(order_id, "another/step/1", now)
    assert journal.note("lately", "key", "y") == "x"
    assert journal.note("old", "key", "y") == "y"
    journal.close()


def test_a_journal_that_grows_too_large_drops_what_expired_and_never_what_is_valid(tmp_path: Path) -> None:
    journal = OrderJournal(tmp_path / "journal.db")
    now = 100 * 86_400.0
    for number in range(40):
        for order_id, expires_at in ((f"expired{number}", now - 1), (f"valid{number}", now + 1)):
            journal.begin(order_id, STEP, 1.0, expires_at)
            journal.finish(order_id, bytes(20_000))

    assert journal.prune(now, max_bytes=1 << 20) == 40
    assert journal.prune(now, max_bytes=1) == 0
    with pytest.raises(OrderReplayed):
        journal.begin("valid0", "another/step/1", now)
    journal.close()


def test_room_in_the_journal_is_used_again(tmp_path: Path) -> None:
    journal = OrderJournal(tmp_path / "journal.db")
    for turn in range(10):
        for number in range(20):
            journal.begin(f"{turn}.{number}", STEP, 1.0, 2.0)
            journal.finish(f"{turn}.{number}", bytes(20_000))
        assert journal.prune(9e9) == 20
    journal.close()
    assert (tmp_path / "journal.db").stat().st_size < 2 * 20 * 20_000


def test_pruning_is_done_once_in_a_while(tmp_path: Path) -> None:
    journal = OrderJournal(tmp_path / "journal.db")
    now = 100 * 86_400.0
    journal.prune_if_due(now)
    journal.begin("o1", STEP, 1.0, 2.0)
    journal.finish("o1", b"done")
    journal.prune_if_due(now + PRUNE_EVERY_SECONDS - 1)
    assert journal.begin("o1", STEP, 1.0, 2.0) == b"done"
    journal.prune_if_due(now + PRUNE_EVERY_SECONDS + 1)
    assert journal.begin("o1", STEP, 1.0, 2.0) is None
    journal.close()


def test_a_journal_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.db")) as old:
        old.execute(
            "create table orders "
            "(order_id text primary key, bound_to text not null, begun_at real not null, result blob)"
        )
        old.execute("insert into orders values ('o1', ?, 1.0, x'00')", (STEP,))
        old.commit()
    journal = OrderJournal(tmp_path / "journal.db")
    assert journal.impaired == ""
    assert journal.begin("o1", STEP, 2.0) == b"\0"
    assert journal.begin("o2", STEP, 2.0, 9e9) is None
    assert journal.prune(40 * 86_400.0) == 1
    journal.close()
