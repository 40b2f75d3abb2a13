"""The journal: what was carried out, kept over restarts, bound to the step that ordered it."""

from pathlib import Path

import pytest

from activities.orders.journal import OrderJournal, OrderReplayed

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
