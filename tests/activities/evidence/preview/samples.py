"""Captures, events and documents to look at."""

import io
import json
import socket
import struct
from typing import Any

import dpkt

from activities.evidence.preview.documents import Preview, PreviewRequest, Refusal

CUT = 1_772_600_800.0
INTRUDER, SERVER, CONTROL, RESOLVER = "10.66.0.2", "10.66.0.4", "10.66.0.1", "10.66.0.53"


def request(kind: str = "packets", media_type: str = "", **said: Any) -> PreviewRequest:
    return PreviewRequest.model_validate({"kind": kind, "media_type": media_type, "name": "item"} | said)


def frame(source: str, target: str, ports: tuple[int, int], *, flags: int = dpkt.tcp.TH_ACK, size: int = 0) -> bytes:
    """One TCP segment in an Ethernet frame."""
    segment = dpkt.tcp.TCP(sport=ports[0], dport=ports[1], flags=flags, data=bytes(size))
    return _ethernet(_packet(source, target, dpkt.ip.IP_PROTO_TCP, segment))


def query(name: str) -> bytes:
    """A DNS query in an Ethernet frame."""
    asked = bytes(dpkt.dns.DNS(qd=[dpkt.dns.DNS.Q(name=name)]))
    datagram = dpkt.udp.UDP(sport=40_053, dport=53, data=asked, ulen=8 + len(asked))
    return _ethernet(_packet(INTRUDER, RESOLVER, dpkt.ip.IP_PROTO_UDP, datagram))


def _packet(source: str, target: str, protocol: int, inside: dpkt.Packet) -> dpkt.ip.IP:
    packet = dpkt.ip.IP(src=socket.inet_aton(source), dst=socket.inet_aton(target), p=protocol, data=inside)
    packet.len = len(packet)
    return packet


def _ethernet(packet: dpkt.Packet) -> bytes:
    return bytes(dpkt.ethernet.Ethernet(src=b"\2" * 6, dst=b"\4" * 6, data=packet))


def packets() -> list[tuple[float, bytes]]:
    """An intruder who tries a database until it is cut off, and whose lifeline stays."""
    found = [(CUT - 10, query("updates.example"))]
    for number in range(20):
        ports = (40_000 + number, 5_432)
        found.append((CUT - 9 + number / 4, frame(INTRUDER, SERVER, ports, flags=dpkt.tcp.TH_SYN)))
        answer = dpkt.tcp.TH_SYN | dpkt.tcp.TH_ACK
        found.append((CUT - 9 + number / 4, frame(SERVER, INTRUDER, ports[::-1], flags=answer)))
    found += [(CUT + number, frame(INTRUDER, CONTROL, (50_123, 7_233), size=100)) for number in range(5)]
    return found


def pcapng(frames: list[tuple[float, bytes]] | None = None, comment: str = "") -> bytes:
    """A capture as dpkt writes it."""
    file = io.BytesIO()
    option = dpkt.pcapng.PcapngOptionLE(code=1, text=comment)
    section = dpkt.pcapng.SectionHeaderBlockLE(opts=[option, dpkt.pcapng.PcapngOptionLE()] if comment else [])
    writer = dpkt.pcapng.Writer(file, shb=section)
    for at, octets in packets() if frames is None else frames:
        writer.writepkt(octets, ts=at)
    return file.getvalue()


def pcap(frames: list[tuple[float, bytes]] | None = None) -> bytes:
    """The same in the older form."""
    file = io.BytesIO()
    writer = dpkt.pcap.Writer(file)
    for at, octets in packets() if frames is None else frames:
        writer.writepkt(octets, ts=at)
    return file.getvalue()


def block(kind: int, body: bytes) -> bytes:
    """One block of pcapng."""
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def two_interfaces() -> bytes:
    """A capture of two interfaces whose clocks tick differently."""
    section = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    named = [struct.pack("<HHI", 1, 0, 0) + struct.pack("<HH4s", 2, 4, name) for name in (b"eth0", b"eth1")]
    nanoseconds = struct.pack("<HHB3x", 9, 1, 9)
    octets = frame(INTRUDER, SERVER, (40_000, 22))
    octets += bytes(-len(octets) % 4)
    parts = [section, block(1, named[0]), block(1, named[1] + nanoseconds)]
    for place, ticks in ((0, int(CUT * 10**6)), (1, int(CUT * 10**9))):
        head = struct.pack("<IIIII", place, ticks >> 32, ticks & 0xFFFFFFFF, len(octets), len(octets))
        parts.append(block(6, head + octets))
    return b"".join(parts)


def events(*said: dict[str, Any]) -> bytes:
    """Lines as the recorder writes them."""
    return b"".join(json.dumps(document).encode() + b"\n" for document in said)


def shown(found: Preview | Refusal) -> Preview:
    assert isinstance(found, Preview), found
    return found
