"""Conversations by datagrams between two hosts of the lab."""

import contextlib
import socket
from collections.abc import Iterator

from lab.host import LabHost
from tests.activities.host.traffic import SILENCE_SECONDS


class Conversation:
    """A UDP socket on each side, each knowing the other."""

    def __init__(self, client: LabHost, server: LabHost, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._server = server.call(lambda: _bound(family, address, port))
        self._client = client.call(lambda: _connected(family, address, port))

    def answers(self) -> bool:
        """Whether a question arrives and its answer comes back."""
        return self.asked() and self.answered()

    def asked(self) -> bool:
        """Whether a datagram of the client arrives."""
        try:
            self._client.send(b"hello")
            _, self._peer = self._server.recvfrom(10)
        except OSError:
            return False
        return True

    def answered(self) -> bool:
        """Whether one of the server arrives at the client who asked last."""
        try:
            self._server.sendto(b"hello", self._peer)
            return self._client.recv(10) == b"hello"
        except OSError:
            return False

    def close(self) -> None:
        self._client.close()
        self._server.close()


@contextlib.contextmanager
def conversations(client: LabHost, server: LabHost, port: int) -> Iterator[tuple[Conversation, Conversation]]:
    """One over IPv4 and one over IPv6, under way."""
    opened = [Conversation(client, server, address, port) for address in (server.ipv4, server.ipv6)]
    try:
        assert all(conversation.answers() for conversation in opened)
        yield opened[0], opened[1]
    finally:
        for conversation in opened:
            conversation.close()


def _bound(family: int, address: str, port: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_DGRAM)
    bound.bind((address, port))
    bound.settimeout(SILENCE_SECONDS)
    return bound


def _connected(family: int, address: str, port: int) -> socket.socket:
    connected = socket.socket(family, socket.SOCK_DGRAM)
    connected.connect((address, port))
    connected.settimeout(SILENCE_SECONDS)
    return connected
