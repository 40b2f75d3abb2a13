"""What the events of a host do not tell, in their manifest; and lines that a killed writer left half."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.host.ebpf import State
from activities.host.event_items import events_artefact
from activities.host.event_ring import EventLimits, EventRing, join
from activities.host.frozen import Freeze, RecorderStatus

FROZEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return FROZEN + timedelta(seconds=seconds)


def event(name: str, seconds: float) -> dict[str, Any]:
    return {"event": name, "at": after(seconds).isoformat()}


def gaps_since_freeze(folder: Path, state: State, *events: dict[str, Any]) -> list[tuple[datetime, datetime]]:
    path = folder / "events-after.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in events), encoding="utf-8")
    freeze = Freeze(
        incident_id="inc-1", frozen_at=FROZEN, seconds=5, status=RecorderStatus(packets="running", events=state)
    )
    found = events_artefact("events-after", path, freeze, since_freeze=True)
    return [(gap.started, gap.ended) for gap in found.acquisition.gaps]


def test_nothing_is_missing_where_the_programs_ran_all_the_time(tmp_path: Path) -> None:
    assert gaps_since_freeze(tmp_path, "running", event("execution", 1)) == []


def test_agent_that_died_before_its_first_event_left_a_gap_since_the_freeze(tmp_path: Path) -> None:
    told = gaps_since_freeze(tmp_path, "running", event("starting", 2), event("recording", 4), event("execution", 5))
    assert told == [(FROZEN, after(4))]


def test_programs_that_were_still_starting_at_the_freeze_left_a_gap_until_they_ran(tmp_path: Path) -> None:
    told = gaps_since_freeze(tmp_path, "starting", event("recording", 3), event("execution", 5))
    assert told == [(FROZEN, after(3))]


def test_programs_that_never_ran_again_left_a_gap_until_now(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    told = gaps_since_freeze(tmp_path, "running", event("execution", 1), event("starting", 2))
    assert told[0][0] == after(1)
    assert before <= told[0][1] <= datetime.now(UTC)


@pytest.mark.parametrize("half", ["", '{"event": "execu', '{"event": "execution"}'])
def test_line_that_a_killed_writer_left_half_spoils_no_other(tmp_path: Path, half: str) -> None:
    folder = tmp_path / "events"
    first = EventRing(folder, EventLimits(), dict)
    first.append([{"event": "execution", "number": 1}])
    first.rotate()
    (segment,) = first.closed()
    with segment.open("a", encoding="ascii") as file:
        file.write(half)
    segment.rename(segment.with_suffix(".open"))  # as one that was being written
    second = EventRing(folder, EventLimits(), dict)
    second.append([{"event": "execution", "number": 2}])
    second.rotate()
    join(second.closed(), tmp_path / "joined")
    lines = [json.loads(line) for line in (tmp_path / "joined").read_text(encoding="ascii").splitlines()]
    assert [line["number"] for line in lines if "number" in line] == [1, 2]
