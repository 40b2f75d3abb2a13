"""A journal on a disk that is full: orders are carried out once all the same, and it says what a restart forgets."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from activities.orders import journal as journals
from activities.orders.journal import OrderJournal, OrderReplayed
from tests.activities.full_disk import SmallDisk, small_disk
from tests.activities.orders.agent import Bench
from tests.activities.orders.payloads import order

STEP = "incident-1/run-1/1"
FAR = 9e9


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as made:
        yield made


@pytest.fixture
def journal(disk: SmallDisk) -> Iterator[OrderJournal]:
    opened = OrderJournal(disk.folder / "journal.db")
    yield opened
    opened.close()


def exhausted(disk: SmallDisk, journal: OrderJournal) -> None:
    """Full, and the room that was kept free is used up too."""
    disk.fill()
    journal.begin("ballast", STEP, 1.0, FAR)
    disk.fill()


def test_room_that_was_kept_free_is_used_when_the_disk_is_full(disk: SmallDisk, journal: OrderJournal) -> None:
    disk.fill()
    journal.begin("o1", STEP, 1.0, FAR)
    journal.finish("o1", b"done")
    assert journal.impaired == ""
    journal.close()
    again = OrderJournal(disk.folder / "journal.db")
    assert again.begin("o1", STEP, 2.0, FAR) == b"done"
    again.close()


def test_with_no_room_left_orders_are_remembered_while_the_agent_lives(disk: SmallDisk, journal: OrderJournal) -> None:
    exhausted(disk, journal)
    assert journal.begin("o1", STEP, 1.0, FAR) is None
    assert "full" in journal.impaired
    journal.finish("o1", b"done")
    assert journal.begin("o1", STEP, 2.0, FAR) == b"done"
    assert journal.note("o1", "key", "first") == journal.note("o1", "key", "second") == "first"
    with pytest.raises(OrderReplayed):
        journal.begin("o1", "another/step/1", 2.0, FAR)
    with pytest.raises(OrderReplayed):
        journal.begin("ballast", "another/step/1", 2.0, FAR)


def test_what_stands_is_remembered_and_forgotten_in_memory_too(disk: SmallDisk, journal: OrderJournal) -> None:
    journal.keep_standing("before", "{}")
    exhausted(disk, journal)
    journal.keep_standing("after", "{}")
    journal.drop_standing("before")
    assert (journal.standings(), journal.standing("before")) == ({"after": "{}"}, None)


def test_with_room_again_everything_goes_to_the_disk(disk: SmallDisk, journal: OrderJournal) -> None:
    journal.keep_standing("before", "{}")
    exhausted(disk, journal)
    journal.begin("o1", STEP, 1.0, FAR)
    journal.finish("o1", b"done")
    journal.drop_standing("before")
    disk.make_room()
    journal.begin("o2", STEP, 1.0, FAR)
    assert journal.impaired == ""
    journal.close()
    again = OrderJournal(disk.folder / "journal.db")
    assert again.begin("o1", STEP, 2.0, FAR) == b"done"
    assert again.standings() == {}
    again.close()


def test_the_room_that_is_kept_free_comes_back_with_the_next_pruning(disk: SmallDisk, journal: OrderJournal) -> None:
    disk.fill()
    journal.begin("o1", STEP, 1.0, 2.0)
    assert not (disk.folder / "journal.ballast").exists()
    disk.make_room()
    assert journal.prune(FAR) == 1
    assert (disk.folder / "journal.ballast").stat().st_size == 1 << 20


def test_an_agent_that_starts_on_a_full_disk_works_from_memory(disk: SmallDisk) -> None:
    disk.fill()
    journal = OrderJournal(disk.folder / "journal.db")
    assert journal.impaired
    assert journal.begin("o1", STEP, 1.0, FAR) is None
    with pytest.raises(OrderReplayed):
        journal.begin("o1", "another/step/1", 2.0, FAR)
    disk.make_room()
    journal.begin("o2", STEP, 1.0, FAR)
    assert journal.impaired == ""
    journal.close()


def test_a_journal_that_can_not_be_read_is_told_and_keeps_nothing_from_being_done(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"this was a journal once" * 400)
    journal = OrderJournal(tmp_path / "journal.db")
    assert "not a database" in journal.impaired
    assert journal.begin("o1", STEP, 1.0, FAR) is None
    with pytest.raises(OrderReplayed):
        journal.begin("o1", "another/step/1", 2.0, FAR)
    assert (tmp_path / "journal.db").read_bytes().startswith(b"this was a journal once")
    journal.close()


def test_memory_is_bounded_and_what_expired_goes_first(
    disk: SmallDisk, journal: OrderJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "MAX_IN_MEMORY", 3)
    exhausted(disk, journal)
    for number in range(3):
        journal.begin(f"valid{number}", STEP, 10.0, FAR)
    journal.begin("expired", STEP, 10.0, 11.0)
    journal.note("expired", "key", "x")
    journal.begin("valid3", STEP, 20.0, FAR)
    kept = {key[0] for _, key in journal._rows._waiting}
    assert kept == {"valid1", "valid2", "valid3"}


async def test_an_order_is_carried_out_once_on_a_full_disk(temporal: str, disk: SmallDisk) -> None:
    async with Bench(await Client.connect(temporal), disk.folder) as bench:
        disk.fill()
        (disk.folder / "journal.ballast").unlink()
        disk.fill()
        await bench.start()
        await bench.give(order("o.1"))
        assert bench.pings == 1
        refusal = await bench.refusal(order("o.1"))
        assert "Order o.1 was given by" in refusal.message
        assert bench.pings == 1
