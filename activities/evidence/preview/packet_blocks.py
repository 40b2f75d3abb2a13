"""The packets of a capture file, read from a stream that can't go back.

Owns the framing of pcapng (draft-ietf-opsawg-pcapng) and of the older pcap: every interface with its own link type
and clock, every length checked before it is believed. dpkt's reader trusts lengths and knows one interface. Never looks
into a packet. Damage ends the reading: `damage` says where.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

# A longer block is damage, not data: dumpcap's own limit for a packet is 256 KiB.
MAX_BLOCK_BYTES = 16 << 20
MAX_INTERFACES = 256
_SECTION, _INTERFACE, _PACKET, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
_COMMENT, _IF_NAME, _IF_TSRESOL, _IF_TSOFFSET = 1, 2, 9, 14
_LITTLE_ENDIAN = b"\x4d\x3c\x2b\x1a"
_PCAPNG = b"\x0a\x0d\x0d\x0a"
# Magic number: byte order and ticks per second.
_PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 10**6),
    b"\xa1\xb2\xc3\xd4": (">", 10**6),
    b"\x4d\x3c\xb2\xa1": ("<", 10**9),
    b"\xa1\xb2\x3c\x4d": (">", 10**9),
}
MAGICS = (_PCAPNG, *_PCAP)
_HEAD_BYTES = 12
_POWER_OF_TWO = 0x80
_LINKTYPE_BITS = 0xFFFF


class Packet(NamedTuple):
    """One packet: when, of which kind of link, what was kept of it, and how long it was."""

    at: float
    linktype: int
    octets: bytes
    length: int


@dataclass(frozen=True)
class _Interface:
    linktype: int
    name: str
    ticks: int
    offset: int


@dataclass
class Capture:
    """A capture that is read once. Comment, interfaces and damage fill while its packets are read."""

    stream: BinaryIO
    comment: str = ""
    names: list[str] = field(default_factory=list)
    damage: str = ""
    _interfaces: list[_Interface] = field(default_factory=list)
    _at: int = 0

    def packets(self) -> Iterator[Packet]:
        """Every packet until the end or the damage."""
        magic = self.stream.read(4)
        self._at = len(magic)
        try:
            if magic == _PCAPNG:
                yield from self._pcapng(magic)
            elif magic in _PCAP:
                yield from self._pcap(*_PCAP[magic])
            else:
                self.damage = "It begins like no capture file."
        except (struct.error, IndexError, OverflowError):
            self.damage = f"A block near byte {self._at:,} says what can't be; reading ended there."

    def _pcap(self, order: str, ticks: int) -> Iterator[Packet]:
        head = self._take(20)
        (linktype,) = struct.unpack_from(order + "I", head, 16)
        record = struct.Struct(order + "IIII")
        while head := self.stream.read(16):
            seconds, fraction, kept, length = record.unpack(head)
            if kept > MAX_BLOCK_BYTES or len(octets := self._take(kept)) < kept:
                self.damage = f"The packet at byte {self._at:,} is cut off."
                return
            self._at += 16
            yield Packet(seconds + fraction / ticks, linktype & _LINKTYPE_BITS, octets, length)

    def _pcapng(self, magic: bytes) -> Iterator[Packet]:
        order, head = "<", magic + self._take(_HEAD_BYTES - 4)
        while head:
            if head[:4] == _PCAPNG:
                order = "<" if head[8:12] == _LITTLE_ENDIAN else ">"
            kind, length = struct.unpack_from(order + "II", head)
            if not _HEAD_BYTES <= length <= MAX_BLOCK_BYTES or length % 4:
                self.damage = f"The block at byte {self._at:,} says that it is {length:,} bytes long."
                return
            rest = self._take(length - _HEAD_BYTES)
            if len(rest) < length - _HEAD_BYTES:
                self.damage = f"The block at byte {self._at:,} is cut off."
                return
            found = self._block(kind, (head[8:] + rest)[:-4], order)
            if found is not None:
                yield found
            head = self._take(_HEAD_BYTES)

    def _take(self, count: int) -> bytes:
        octets = self.stream.read(count)
        self._at += len(octets)
        return octets

    def _block(self, kind: int, body: bytes, order: str) -> Packet | None:
        if kind == _ENHANCED:
            place, high, low, kept, length = struct.unpack_from(order + "IIIII", body)
            return self._packet(place, (high << 32) | low, body[20 : 20 + kept], length)
        if kind == _PACKET:
            place, _, high, low, kept, length = struct.unpack_from(order + "HHIIII", body)
            return self._packet(place, (high << 32) | low, body[20 : 20 + kept], length)
        if kind == _SIMPLE:
            (length,) = struct.unpack_from(order + "I", body)
            return self._packet(0, 0, body[4 : 4 + length], length)
        if kind == _INTERFACE:
            self._add(body, order)
        elif kind == _SECTION:
            self._interfaces.clear()
            self.comment = self.comment or _options(body[16:], order).get(_COMMENT, b"").decode(errors="replace")
        return None

    def _packet(self, place: int, ticks: int, octets: bytes, length: int) -> Packet:
        interface = self._interfaces[place]
        return Packet(interface.offset + ticks / interface.ticks, interface.linktype, octets, length)

    def _add(self, body: bytes, order: str) -> None:
        if len(self._interfaces) >= MAX_INTERFACES:
            raise IndexError(MAX_INTERFACES)
        linktype, _, _ = struct.unpack_from(order + "HHI", body)
        options = _options(body[8:], order)
        offset = options.get(_IF_TSOFFSET, b"")
        name = options.get(_IF_NAME, b"").decode(errors="replace")
        self._interfaces.append(
            _Interface(
                linktype=linktype,
                name=name,
                ticks=_ticks(options.get(_IF_TSRESOL, b"\x06")),
                offset=struct.unpack(order + "q", offset)[0] if len(offset) == 8 else 0,  # noqa: PLR2004 int64
            )
        )
        if name not in self.names:
            self.names.append(name)


def _ticks(resolution: bytes) -> int:
    exponent = resolution[0] & ~_POWER_OF_TWO
    return int(2**exponent if resolution[0] & _POWER_OF_TWO else 10**exponent)


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
