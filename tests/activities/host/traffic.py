"""Real traffic between hosts of the lab: sessions, datagrams, raw frames."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address

from activities.host.silence import Listener
from lab.entering import within
from lab.host import LabHost
from lab.topology import DATA_INTERFACE
from lab.waiting import wait_until

# Longer than any answer inside the lab takes.
SILENCE_SECONDS = 0.15
# linux/socket.h, linux/if_packet.h
_SOL_PACKET, _PACKET_QDISC_BYPASS = 263, 20


class Session:
    """A TCP session from one host to an echo service of another."""

    def __init__(self, client: LabHost, address: str, port: int) -> None:
        self._socket = client.call(lambda: socket.create_connection((address, port), timeout=1))
        self._socket.settimeout(SILENCE_SECONDS)

    def answers(self) -> bool:
        """Whether a line comes back; an error of the socket is no answer either."""
        try:
            self._socket.sendall(b"hello\n")
            return self._socket.recv(100).endswith(b"hello\n")
        except OSError:
            return False

    def error(self) -> int:
        """What the kernel says has happened to the socket."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def sessions(client: LabHost, server: LabHost, port: int) -> Iterator[tuple[Session, Session]]:
    """An answering session over IPv4 and one over IPv6."""
    opened = (Session(client, server.ipv4, port), Session(client, server.ipv6, port))
    try:
        assert all(session.answers() for session in opened)
        yield opened
    finally:
        for session in opened:
            session.close()


def connects(client: LabHost | str, address: str, port: int) -> bool:
    """Whether a new connection is made, or refused by the host itself."""

    def connect() -> bool:
        try:
            socket.create_connection((address, port), timeout=SILENCE_SECONDS).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return True

    return within(client, connect) if isinstance(client, str) else client.call(connect)


def datagrams_heard(sender: LabHost, receiver: LabHost) -> int:
    """How many of ten datagrams, five a family, reach the wire of the receiver."""
    return _heard(sender, receiver, lambda: _send_datagrams(receiver))


def frames_heard(sender: LabHost, receiver: LabHost, *, past_qdisc: bool = False) -> int:
    """How many of ten frames sent past the IP stack, and past the queues too, reach the wire of the receiver."""
    return _heard(sender, receiver, lambda: _send_frames(sender, receiver, past_qdisc=past_qdisc))


def _heard(sender: LabHost, receiver: LabHost, send: object) -> int:
    assert callable(send)
    sources = [ip_address(sender.ipv4), ip_address(sender.ipv6)]
    with receiver.call(lambda: Listener(sources)) as listener:
        sender.call(send)
        with contextlib.suppress(Exception):
            wait_until(lambda: listener.heard().total() >= 10, SILENCE_SECONDS, "ten packets")
        return listener.heard().total()


def _send_datagrams(receiver: LabHost) -> None:
    for family, address in ((socket.AF_INET, receiver.ipv4), (socket.AF_INET6, receiver.ipv6)):
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            for _ in range(5):
                with contextlib.suppress(PermissionError):  # what an output chain's drop looks like
                    sender.sendto(b"x", (address, 9000))


def _send_frames(sender: LabHost, receiver: LabHost, *, past_qdisc: bool) -> None:
    addresses = (ip_address(sender.ipv4).packed, ip_address(receiver.ipv4).packed)
    # Protocol 253 is for experiments (RFC 3692); its checksum must hold, or a bridge may drop the packet.
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28, 1, 0, 64, 253, 0, *addresses)
    total = sum(struct.unpack(">10H", header))
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    header = header[:10] + struct.pack(">H", checksum) + header[12:]
    ethernet = b"\xff" * 6 + b"\x02\x00\x00\x00\x00\x01" + b"\x08\x00"
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((DATA_INTERFACE, 0))
        raw.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, int(past_qdisc))
        for _ in range(10):
            with contextlib.suppress(OSError):  # ENOBUFS is what an egress chain's drop looks like
                raw.send(ethernet + header + bytes(8))
