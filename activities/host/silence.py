"""Listening for a host that must be silent, on the wire and before any firewall of the listener.

Owns a packet(7) socket with a kernel filter on source addresses. Address resolution (ARP, neighbour
discovery) does not count: an isolated host answers it by design. Never keeps what it hears.

    with Listener(subject_addresses) as listener:
        ...                       # probe, wait
        listener.heard()          # -> Counter({4: 12}), frames by IP version
"""

import contextlib
import ctypes
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from types import TracebackType
from typing import Self

PERMISSIONS = ("CAP_NET_RAW",)
Address = IPv4Address | IPv6Address
Endpoint = tuple[Address, int, str]

_ETH_P_ALL, _ETH_P_IP, _ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD
_SO_ATTACH_FILTER = 26
_INSTRUCTION = struct.Struct("=HBBI")
# linux/filter.h: BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K; ancillary data begins at
# -0x1000.
_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06
_PROTOCOL = 0xFFFFF000
_SNAP = 96
# Offsets of the source address in a header that begins at the network layer, as SOCK_DGRAM delivers it.
_IPV4_SOURCE, _IPV6_SOURCE = 12, 8
_IPV4_HEADER, _IPV6_HEADER = 20, 40
# ICMPv6 types 133 to 137 (RFC 4861, 4).
_DISCOVERY = tuple(bytes([kind]) for kind in range(133, 138))
# A host that is open fills the buffer; more of the same proves nothing more.
_MAX_FRAMES = 10_000
_PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}


@dataclass(frozen=True)
class _Packet:
    """What is looked at of a packet; `payload` is cut off and may be empty."""

    version: int
    protocol: int
    destination: Address
    payload: bytes

    @property
    def is_discovery(self) -> bool:
        """Of neighbour discovery: an isolated host goes on with it by design."""
        kind = self.payload[:1]
        return self.protocol == socket.IPPROTO_ICMPV6 and kind in _DISCOVERY

    @property
    def goes_to(self) -> Endpoint:
        """Its destination; the port of a later fragment means nothing, and matches nothing."""
        return (self.destination, int.from_bytes(self.payload[2:4], "big"), _PROTOCOLS.get(self.protocol, ""))


class Listener:
    """Hears IP packets from the given addresses on every device of its network namespace.

    What goes to an endpoint in `ignored` is not counted: the lifeline of an isolated host may end at the
    listener.
    """

    def __init__(self, sources: Collection[Address], ignored: Collection[Endpoint] = ()) -> None:
        self._ignored = frozenset(ignored)
        self._heard: Counter[int] = Counter()
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_PACKET, kind, socket.htons(_ETH_P_ALL))
        try:
            self._socket.setblocking(False)
            _attach(self._socket, _filter(sources))
            self._forget_unfiltered()
        except BaseException:
            self._socket.close()
            raise

    def listen_until(self, deadline: float) -> None:
        """Listen until a time of the monotonic clock."""
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0 and self._heard.total() < _MAX_FRAMES:
            if poller.poll(left * 1000):
                self._drain()

    def heard(self) -> Counter[int]:
        """Packets so far by IP version."""
        self._drain()
        return Counter(self._heard)

    def _forget_unfiltered(self) -> None:
        """Everybody's packets, from between the socket's making and its filter."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(1)

    def _drain(self) -> None:
        while self._heard.total() < _MAX_FRAMES:
            try:
                packet, (_, protocol, *_) = self._socket.recvfrom(_SNAP)
            except BlockingIOError:
                return
            parse = {_ETH_P_IP: _ipv4, _ETH_P_IPV6: _ipv6}.get(protocol)
            found = parse(packet) if parse else None
            if found and not found.is_discovery and found.goes_to not in self._ignored:
                self._heard[found.version] += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()


def _filter(sources: Collection[Address]) -> bytes:
    """A block of instructions an address: it compares protocol and source, or falls through to the next."""
    blocks = [_block(source) for source in sources]
    return b"".join([*blocks, _INSTRUCTION.pack(_RETURN, 0, 0, 0)])


def _block(source: Address) -> bytes:
    is_ipv4 = isinstance(source, IPv4Address)
    start, kind = (_IPV4_SOURCE, _ETH_P_IP) if is_ipv4 else (_IPV6_SOURCE, _ETH_P_IPV6)
    words = struct.unpack(f">{len(source.packed) // 4}I", source.packed)
    pairs = [(_PROTOCOL, kind), *((start + 4 * index, word) for index, word in enumerate(words))]
    length = 2 * len(pairs) + 1
    code = b""
    for index, (offset, value) in enumerate(pairs):
        code += _INSTRUCTION.pack(_LOAD, 0, 0, offset)
        code += _INSTRUCTION.pack(_EQUALS, 0, length - 2 * index - 2, value)
    return code + _INSTRUCTION.pack(_RETURN, 0, 0, _SNAP)


def _attach(target: socket.socket, code: bytes) -> None:
    # struct sock_fprog: the number of instructions and a pointer to them.
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(code) // _INSTRUCTION.size, ctypes.addressof(buffer))
    target.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _ipv4(packet: bytes) -> _Packet | None:
    if len(packet) < _IPV4_HEADER:
        return None
    length = (packet[0] & 0x0F) * 4
    return _Packet(4, packet[9], IPv4Address(packet[16:20]), packet[length:])


def _ipv6(packet: bytes) -> _Packet | None:
    if len(packet) < _IPV6_HEADER:
        return None
    return _Packet(6, packet[6], IPv6Address(packet[24:40]), packet[_IPV6_HEADER:])
