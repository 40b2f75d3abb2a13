"""Captures in tcpdump's older format, counted: pcap-savefile(5).

Owns a reader of record headers. The format has no counters of loss and no names of interfaces.

    summarize_pcap(path).packets     # -> 812
"""

import struct
from datetime import UTC, datetime
from pathlib import Path

from activities.host.pcapng import CaptureSummary, Interface, summarize

_MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 10**6),
    b"\xa1\xb2\xc3\xd4": (">", 10**6),
    b"\x4d\x3c\xb2\xa1": ("<", 10**9),
    b"\xa1\xb2\x3c\x4d": (">", 10**9),
}
_HEAD_BYTES, _RECORD_BYTES = 24, 16
_MAX_PACKET_BYTES = 1 << 20


def summarize_any(path: Path) -> CaptureSummary:
    """Whichever of the two formats it is; nothing at all for an empty file."""
    with path.open("rb") as file:
        magic = file.read(4)
    return summarize_pcap(path) if magic in _MAGIC else summarize(path)


def summarize_pcap(path: Path) -> CaptureSummary:
    """Read a capture's record headers. Damage ends the reading; what was read until there counts."""
    summary = CaptureSummary()
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if len(head) < _HEAD_BYTES or head[:4] not in _MAGIC:
            return summary
        order, ticks = _MAGIC[head[:4]]
        snaplen, linktype = struct.unpack(order + "II", head[16:])
        summary.interfaces.append(Interface(linktype=linktype & 0xFFFF, snaplen=snaplen, ticks_per_second=ticks))
        while record := file.read(_RECORD_BYTES):
            if len(record) < _RECORD_BYTES:
                return summary
            seconds, fraction, length, _ = struct.unpack(order + "IIII", record)
            if length > _MAX_PACKET_BYTES or len(file.read(length)) < length:
                return summary
            _count(summary, datetime.fromtimestamp(seconds + fraction / ticks, UTC))
    summary.whole = True
    return summary


def _count(summary: CaptureSummary, at: datetime) -> None:
    summary.packets += 1
    summary.first = at if summary.first is None else min(summary.first, at)
    summary.last = at if summary.last is None else max(summary.last, at)
