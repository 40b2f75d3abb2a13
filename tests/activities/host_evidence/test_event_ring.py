import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.host.event_ring import EventLimits, EventRing
from tests.activities.full_disk import SmallDisk, small_disk

EVENTS = [{"event": "execution", "at": "2031-05-01T12:00:00+00:00", "file": "x" * 200}] * 50


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "small") as small:
        yield small


def test_a_full_disk_costs_the_events_of_its_time_and_no_others(disk: SmallDisk) -> None:
    ring = EventRing(disk.folder / "events", EventLimits(), lambda: {"host": "web"})
    ring.append(EVENTS)
    disk.fill()
    with pytest.raises(OSError, match="No space left"):
        ring.append(EVENTS * 20)
    disk.make_room()
    ring.append(EVENTS)
    ring.rotate()

    kept = [json.loads(line)["event"] for path in ring.closed() for line in path.read_text().splitlines()]
    assert kept.count("segment") == 2, "what could not be written on is left, and another begun"
    assert kept.count("execution") >= 2 * len(EVENTS)
