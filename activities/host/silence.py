"""Listening for a host that must be silent, on the wire and before any firewall of the listener.

Owns a packet(7) socket with a kernel filter on source addresses. Address resolution (ARP, neighbour discovery) does
not count: an isolated host answers it by design. Never keeps what it hears.

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
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import TracebackType
from typing import Self

PERMISSIONS = ("CAP_NET_RAW",)
Address = IPv4Address | IPv6Address
Endpoint = tuple[Address, int, str]

_ETH_P_ALL, _ETH_P_IP, _ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD
_SO_ATTACH_FILTER = 26
_INSTRUCTION = struct.Struct("=HBBI")
# linux/filter.h: BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K; ancillary data begins at -0x1000.
_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06
_PROTOCOL = 0xFFFFF000
_SNAP = 96
# Offsets of the source address in a header that begins at the network layer, as SOCK_DGRAM delivers it.
_IPV4_SOURCE, _IPV6_SOURCE = 12, 8
_ICMPV6, _FIRST_ND, _LAST_ND = 58, 133, 137
# A host that is open fills the buffer; more of the same proves nothing more.
_MAX_FRAMES = 10_000
_PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}


class Listener:
    """Hears IP packets from the given addresses on every device of its network namespace, from when it is made.

    What goes to an endpoint in `ignored` is not counted: the lifeline of an isolated host may end at the listener.
    """

    def __init__(self, sources: Collection[Address], ignored: Collection[Endpoint] = ()) -> None:
        self._ignored = frozenset(ignored)
        self._heard: Counter[int] = Counter()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, socket.htons(_ETH_P_ALL))
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
            version = {_ETH_P_IP: 4, _ETH_P_IPV6: 6}.get(protocol)
            if (
                version
                and not _is_discovery(packet, version)
                and _goes_to(packet, version) not in self._ignored
            ):
                self._heard[version] += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()


def _filter(sources: Collection[Address]) -> bytes:
    """One block of instructions an address: each compares protocol and source, and falls through to the next."""
    blocks = [_block(source) for source in sources]
    return b"".join([*blocks, _INSTRUCTION.pack(_RETURN, 0, 0, 0)])


def _block(source: Address) -> bytes:
    start, kind = (_IPV4_SOURCE, _ETH_P_IP) if source.version == 4 else (_IPV6_SOURCE, _ETH_P_IPV6)
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


def _is_discovery(packet: bytes, version: int) -> bool:
    return version == 6 and len(packet) > 40 and packet[6] == _ICMPV6 and _FIRST_ND <= packet[40] <= _LAST_ND


def _goes_to(packet: bytes, version: int) -> Endpoint | None:
    header = (packet[0] & 0x0F) * 4 if version == 4 else 40
    if len(packet) < header + 4:
        return None
    destination, protocol = (packet[16:20], packet[9]) if version == 4 else (packet[24:40], packet[6])
    port = int.from_bytes(packet[header + 2 : header + 4], "big")
    return (ip_address(destination), port, _PROTOCOLS.get(protocol, ""))
