"""A host whose answer would be too large leaves out what is least, and says so."""

import os
from datetime import UTC, datetime
from pathlib import Path

from activities.contracts.collecting import MAX_ITEMS
from activities.contracts.evidence import Acquisition, Outcome
from activities.host.artefacts import Artefact
from activities.host.capture_tools import PacketSettings
from activities.host.collection import at_most
from activities.host.frozen import Freeze, IncidentFolder, RecorderStatus
from activities.host.packet_items import no_capture, no_ring, ring_artefacts

NOW = datetime(2031, 5, 1, 12, tzinfo=UTC)
SETTINGS = PacketSettings(interfaces=("eth0",), capture_filter="udp port 53 or " * 500 + "tcp")


def freeze(reason: str = "") -> Freeze:
    status = RecorderStatus(packets="failed" if reason else "running", packets_reason=reason, events="off")
    return Freeze(incident_id="inc-1", frozen_at=NOW, seconds=1, capture_reasons={"": reason}, status=status)


def folder_with_files(path: Path, sessions: int, each: int) -> IncidentFolder:
    folder = IncidentFolder(path, "inc-1")
    for session in range(sessions):
        place = path / "ring" / f"20310501T12{session:02d}00.000000Z"
        place.mkdir(parents=True)
        for number in range(each):
            file = place / f"ring_{number:05d}.pcapng"
            file.touch()
            at = NOW.timestamp() + 100 * session + number
            os.utime(file, (at, at))
    return folder


def artefact(label: str) -> Artefact:
    acquisition = Acquisition(tool="fake", started=NOW, ended=NOW)
    path = Path("/nowhere") / label
    collected = Outcome(state="collected")
    return Artefact(label, "volatile", f"{label}.json", "application/json", collected, acquisition, 1, path)


def test_of_a_ring_of_many_files_the_newest_are_handed_over(tmp_path: Path) -> None:
    folder = folder_with_files(tmp_path, sessions=2, each=5)
    older, *newest = ring_artefacts(folder, SETTINGS, freeze(), most=4)

    assert [one.label for one in newest] == ["ring-0008", "ring-0009", "ring-0010"]
    assert {len(one.acquisition.filter) for one in newest} == {1000}
    assert older.label == "ring-older"
    assert older.path is None
    assert older.outcome.state == "missing"
    assert older.outcome.reason.startswith("7 older files are not handed over")
    (gap,) = older.acquisition.gaps
    assert (gap.started.timestamp(), gap.ended.timestamp()) == (NOW.timestamp(), NOW.timestamp() + 101)


def test_of_a_ring_that_fits_nothing_is_left_out(tmp_path: Path) -> None:
    folder = folder_with_files(tmp_path, sessions=2, each=5)

    assert [one.label for one in ring_artefacts(folder, SETTINGS, freeze(), most=10)] == [
        f"ring-{number:04d}" for number in range(1, 11)
    ]


def test_words_of_a_tool_are_cut() -> None:
    long = "dumpcap says the same thing again, " * 100
    for one in (no_ring(freeze(long), SETTINGS), no_capture(freeze(long), SETTINGS)):
        assert one.outcome.reason.startswith("dumpcap says")
        assert len(one.outcome.reason) == 500


def test_what_is_more_than_a_collection_has_is_counted_in_its_last_place() -> None:
    whole = [artefact(f"a-{number}") for number in range(MAX_ITEMS)]
    assert list(at_most(MAX_ITEMS, iter(whole))) == whole

    *kept, last = at_most(MAX_ITEMS, iter([*whole, artefact("b"), artefact("c")]))
    assert kept == whole[:-1]
    assert (last.label, last.path, last.outcome.state) == (whole[-1].label, None, "missing")
    assert last.outcome.reason.startswith("3 more are not handed over")
