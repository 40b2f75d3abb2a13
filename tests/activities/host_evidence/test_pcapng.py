"""Our reader of pcapng against files that others wrote, whole and damaged."""

import io
from pathlib import Path

import dpkt
import pytest

from activities.host.pcapng import summarize


def written(count: int) -> bytes:
    """A capture by another implementation; it writes no statistics."""
    buffer = io.BytesIO()
    writer = dpkt.pcapng.Writer(buffer)
    for number in range(count):
        writer.writepkt(b"\0" * (60 + number), ts=1_700_000_000 + number)
    return buffer.getvalue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.pcapng"


def test_packets_and_times_are_those_that_were_written(path: Path) -> None:
    path.write_bytes(written(50))
    summary = summarize(path)
    assert (summary.packets, summary.whole, summary.closed) == (50, True, False)
    assert summary.first is not None
    assert summary.last is not None
    assert (summary.first.timestamp(), summary.last.timestamp()) == (1_700_000_000, 1_700_000_049)


@pytest.mark.parametrize("cut", [1, 3, 4, 17, 60])
def test_capture_that_is_cut_off_is_not_whole(path: Path, cut: int) -> None:
    path.write_bytes(written(50)[:-cut])
    summary = summarize(path)
    assert (summary.packets, summary.whole) == (49, False)


@pytest.mark.parametrize("damage", [b"", b"\0" * 64, b"\x0a\x0d\x0d\x0a\xff\xff\xff\xff" + b"\0" * 8, b"not a capture"])
def test_what_is_no_capture_is_not_whole(path: Path, damage: bytes) -> None:
    path.write_bytes(damage)
    summary = summarize(path)
    assert (summary.packets, summary.whole, summary.received) == (0, False, None)


def test_length_that_lies_ends_the_reading(path: Path) -> None:
    content = bytearray(written(3))
    third = len(written(2))
    content[third + 4 : third + 8] = (8).to_bytes(4, "little")
    path.write_bytes(content)
    assert (summarize(path).packets, summarize(path).whole) == (2, False)
