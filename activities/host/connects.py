"""TCP connects in parallel, as a probe: what answered, and how fast.

Owns the classification of what a connect ends in. Sends nothing over a connection that it made.

    connect_all([(ip_address("10.0.0.2"), 8000)], timeout_ms=300)   # -> (Attempt(outcome="connected", ...),)
"""

import errno
import os
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

Address = IPv4Address | IPv6Address
Outcome = Literal["connected", "refused", "timeout", "unreachable", "failed"]

# A reset is an answer: the host was reached. ICMP's unreachables are not: the router says that it was not.
_OUTCOMES: dict[int, Outcome] = {
    0: "connected",
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
}
_PENDING = {errno.EINPROGRESS, errno.EWOULDBLOCK}
# Bounds open files: an agent shares its limit with captures.
_AT_ONCE = 200


@dataclass(frozen=True)
class Attempt:
    """One connect. `failed` says nothing about the other side: the connect was not sent."""

    address: Address
    port: int
    outcome: Outcome
    took_ms: float
    error: str = ""

    @property
    def method(self) -> str:
        """The probe in words."""
        return f"tcp-connect {host_port(self.address, self.port)}"

    @property
    def reached(self) -> bool:
        """Whether the other host answered."""
        return self.outcome in ("connected", "refused")


def connect_all(endpoints: Sequence[tuple[Address, int]], *, timeout_ms: int) -> tuple[Attempt, ...]:
    """Connect to every endpoint at once; takes at most the timeout for each 200 of them."""
    attempts: list[Attempt] = []
    for start in range(0, len(endpoints), _AT_ONCE):
        attempts += _connect_batch(endpoints[start : start + _AT_ONCE], timeout_ms / 1000)
    return tuple(attempts)


def host_port(address: Address, port: int) -> str:
    """`10.0.0.2:80` or `[fd00::2]:80`."""
    return f"[{address}]:{port}" if isinstance(address, IPv6Address) else f"{address}:{port}"


def _connect_batch(endpoints: Sequence[tuple[Address, int]], timeout_seconds: float) -> list[Attempt]:
    begun = time.monotonic()
    sockets = [_begin(address, port) for address, port in endpoints]
    try:
        _await(sockets, begun + timeout_seconds)
        return [probe.attempt(begun) for probe in sockets]
    finally:
        for probe in sockets:
            probe.close()


class _Probe:
    """A connect on its way; `error` None while nothing is known."""

    def __init__(self, address: Address, port: int) -> None:
        self.address, self.port = address, port
        self.error: int | None = None
        self.ended = 0.0
        self.socket: socket.socket | None = None

    def begin(self) -> None:
        family = socket.AF_INET6 if isinstance(self.address, IPv6Address) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        code = self.socket.connect_ex((str(self.address), self.port))
        if code not in _PENDING:
            self.end(code)

    def end(self, code: int) -> None:
        self.error, self.ended = code, time.monotonic()

    def attempt(self, begun: float) -> Attempt:
        ended = self.ended or time.monotonic()
        outcome = "timeout" if self.error is None else _OUTCOMES.get(self.error, "failed")
        reason = os.strerror(self.error) if self.error else ""
        return Attempt(self.address, self.port, outcome, round((ended - begun) * 1000, 1), reason)

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()


def _begin(address: Address, port: int) -> _Probe:
    probe = _Probe(address, port)
    try:
        probe.begin()
    except OSError as error:
        probe.end(error.errno or errno.EIO)
    return probe


def _await(probes: list[_Probe], deadline: float) -> None:
    poller = select.poll()
    waiting = {p.socket.fileno(): p for p in probes if p.error is None and p.socket is not None}
    for descriptor in waiting:
        poller.register(descriptor, select.POLLOUT)
    while waiting and (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in poller.poll(left * 1000):
            poller.unregister(descriptor)
            probe = waiting.pop(descriptor)
            if probe.socket is not None:
                probe.end(probe.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
