"""What a pcapng file says of itself: packets counted, counters of loss read, its end checked.

Owns a reader of block headers (draft-ietf-opsawg-pcapng); dpkt skips the interface statistics in which the
loss is written. Never looks into a packet and never writes.

    summary = summarize(path)
    summary.packets, summary.dropped, summary.whole   # -> 812, 0, True
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

_SECTION, _INTERFACE, _SIMPLE, _STATISTICS, _ENHANCED = 0x0A0D0D0A, 1, 3, 5, 6
_LITTLE_ENDIAN = b"\x4d\x3c\x2b\x1a"
_COMMENT, _IF_NAME, _IF_TSRESOL, _IF_FILTER, _ISB_RECEIVED, _ISB_DROPPED = 1, 2, 9, 11, 4, 5
_POWER_OF_TWO = 0x80
_MICROSECONDS = 6
# The shortest block: type, length, and the length again.
_HEAD_BYTES, _COUNTER_BYTES = 12, 8
# A block longer than this is damage, not data: dumpcap's own limit for a packet is 256 KiB.
_MAX_BLOCK_BYTES = 16 << 20


@dataclass
class Interface:
    """One interface of a capture. `received` and `dropped` are None until its statistics block was read."""

    linktype: int
    snaplen: int
    name: str = ""
    filter: str = ""
    ticks_per_second: int = 10**_MICROSECONDS
    received: int | None = None
    dropped: int | None = None


@dataclass
class CaptureSummary:
    """A capture file in numbers. `whole`: it ends where a block ends, nothing is cut off."""

    packets: int = 0
    first: datetime | None = None
    last: datetime | None = None
    comment: str = ""
    interfaces: list[Interface] = field(default_factory=list)
    whole: bool = False

    @property
    def closed(self) -> bool:
        """Whether the statistics are there, which a capture writes as its last act."""
        return bool(self.interfaces) and all(i.received is not None for i in self.interfaces)

    @property
    def received(self) -> int | None:
        """Packets the tool took from the kernel over the whole capture."""
        return sum(i.received or 0 for i in self.interfaces) if self.closed else None

    @property
    def dropped(self) -> int | None:
        """Packets lost between kernel and file over the whole capture."""
        return sum(i.dropped or 0 for i in self.interfaces) if self.closed else None


def summarize(path: Path) -> CaptureSummary:
    """Read a capture's blocks. Damage ends the reading; what was read until there counts."""
    summary = CaptureSummary()
    order = "<"
    with path.open("rb") as file:
        for kind, body, byte_order in _blocks(file, summary):
            order = byte_order
            if kind == _ENHANCED:
                _count(summary, body, order)
            elif kind == _SIMPLE:
                summary.packets += 1
            elif kind == _INTERFACE:
                summary.interfaces.append(_interface(body, order))
            elif kind == _STATISTICS:
                _read_statistics(summary, body, order)
            elif kind == _SECTION:
                summary.comment = _options(body[16:], order).get(_COMMENT, b"").decode(errors="replace")
    return summary


def _blocks(file: BinaryIO, summary: CaptureSummary) -> Iterator[tuple[int, bytes, str]]:
    order = "<"
    while head := file.read(_HEAD_BYTES):
        if len(head) < _HEAD_BYTES:
            return
        if head[:4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if head[8:12] == _LITTLE_ENDIAN else ">"
        kind, length = struct.unpack(order + "II", head[:8])
        if not _HEAD_BYTES <= length <= _MAX_BLOCK_BYTES or length % 4:
            return
        rest = file.read(length - _HEAD_BYTES)
        if len(rest) < length - _HEAD_BYTES or (head + rest)[-4:] != struct.pack(order + "I", length):
            return
        yield kind, (head[8:] + rest)[:-4], order
    summary.whole = bool(summary.interfaces)


def _count(summary: CaptureSummary, body: bytes, order: str) -> None:
    interface, high, low = struct.unpack(order + "III", body[:12])
    summary.packets += 1
    if interface >= len(summary.interfaces):
        return
    at = _time(summary.interfaces[interface], high, low)
    summary.first = at if summary.first is None else min(summary.first, at)
    summary.last = at if summary.last is None else max(summary.last, at)


def _time(interface: Interface, high: int, low: int) -> datetime:
    return datetime.fromtimestamp(((high << 32) | low) / interface.ticks_per_second, UTC)


def _interface(body: bytes, order: str) -> Interface:
    linktype, _, snaplen = struct.unpack(order + "HHI", body[:8])
    options = _options(body[8:], order)
    return Interface(
        linktype=linktype,
        snaplen=snaplen,
        name=options.get(_IF_NAME, b"").decode(errors="replace"),
        # The first octet says what the filter is; 0: a string of libpcap's syntax.
        filter=options.get(_IF_FILTER, b"\0")[1:].decode(errors="replace"),
        ticks_per_second=_ticks(options.get(_IF_TSRESOL, bytes([_MICROSECONDS]))[0]),
    )


def _ticks(resolution: int) -> int:
    exponent = resolution & ~_POWER_OF_TWO
    return int(2**exponent if resolution & _POWER_OF_TWO else 10**exponent)


def _read_statistics(summary: CaptureSummary, body: bytes, order: str) -> None:
    (index,) = struct.unpack(order + "I", body[:4])
    if index >= len(summary.interfaces):
        return
    options = _options(body[12:], order)
    interface = summary.interfaces[index]
    interface.received = _counter(options.get(_ISB_RECEIVED), order)
    interface.dropped = _counter(options.get(_ISB_DROPPED), order)


def _counter(value: bytes | None, order: str) -> int | None:
    return struct.unpack(order + "Q", value)[0] if value is not None and len(value) == _COUNTER_BYTES else None


def _options(data: bytes, order: str) -> dict[int, bytes]:
    """The first value of each option."""
    found: dict[int, bytes] = {}
    position = 0
    while position + 4 <= len(data):
        code, length = struct.unpack_from(order + "HH", data, position)
        if code == 0:
            break
        found.setdefault(code, data[position + 4 : position + 4 + length])
        position += 4 + (length + 3) // 4 * 4
    return found
