"""A host whose disk is full can be contained all the same, and says what a restart or a reboot would forget."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.orders.journal import OrderReplayed
from tests.activities.full_disk import SmallDisk, small_disk
from tests.activities.host.pair import CUT, LIFELINE, OPEN, Pair


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as made:
        yield made


@pytest.fixture
def pair(disk: SmallDisk) -> Iterator[Pair]:
    """A host whose state is on the small disk."""
    with Pair(disk.folder) as made:
        yield made


def fill(disk: SmallDisk) -> None:
    """Also the room that the journal keeps free."""
    (disk.folder / "journal.ballast").unlink()
    disk.fill()


def test_the_cut_goes_first_and_what_could_not_be_kept_is_said(disk: SmallDisk, pair: Pair) -> None:
    agent = pair.agent()
    fill(disk)
    done = agent.isolate(agent.intent(lifeline=LIFELINE))
    assert (done.read_back, done.rolled_back, pair.talks()) == (True, False, CUT)
    assert "the journal takes nothing (database or disk is full)" in done.detail
    agent.journal.begin("order", "step", 1.0, 9e9)
    with pytest.raises(OrderReplayed):
        agent.journal.begin("order", "another step", 1.0, 9e9)
    assert agent.renew(done.change, 60).standing
    released = agent.release(done)
    # Lifted; but what the disk may still hold a restart would load again, and people have to know.
    assert (released.restored, released.drift) == (False, ("the journal can't forget it: database or disk is full",))
    assert pair.talks() == OPEN


def test_room_that_was_kept_free_makes_it_last(disk: SmallDisk, pair: Pair) -> None:
    agent = pair.agent()
    disk.fill()
    done = agent.isolate(agent.intent(lifeline=LIFELINE))
    assert done.detail == ""
    agent.stop()
    pair.reboot()
    assert pair.agent().resume() == {done.change.table: "loaded"}
    assert pair.talks() == CUT


def test_an_agent_that_starts_anew_on_a_full_disk_takes_over_what_stands(disk: SmallDisk, pair: Pair) -> None:
    agent = pair.agent()
    fill(disk)
    done = agent.isolate(agent.intent(lifeline=LIFELINE))
    agent.stop()
    again = pair.agent()
    assert again.resume() == {}
    adopted = again.isolate(again.intent(lifeline=LIFELINE))
    assert (adopted.already_standing, adopted.observation) == (True, done.observation)
    disk.make_room()
    assert again.renew(adopted.change, 60).standing
    again.stop()
    pair.reboot()
    last = pair.agent()
    assert last.resume() == {done.change.table: "loaded"}
    assert (last.isolate(last.intent(lifeline=LIFELINE)).observation, pair.talks()) == (done.observation, CUT)
