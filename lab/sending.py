"""The prober's sender, inside `web`: numbered packets at a steady pace, each with the time it was sent.

Owns the pace and the sockets. Never judges: what was lost is seen by comparing with the receiver's tape.

    python -m lab.sending RATE_PER_SECOND TAPE_DESCRIPTOR

UDP over IPv4 goes out on every tick; UDP over IPv6 and a line on each TCP session on every tenth. Nobody
answers the UDP packets, so connection tracking sees each of them as new.
"""

import contextlib
import os
import socket
import struct
import sys
import time

from lab.tapes import STREAMS, Tape
from lab.topology import HOSTS_BY_NAME, PROBE_PORT

RECORD = struct.Struct("!Q")
SLOW_EVERY = 10
_STALL_NS = 50_000_000
_RECONNECT_NS = 200_000_000
# A session whose packets vanish is given up after this, so that a later one can show that the path is open
# again.
_USER_TIMEOUT_MS = 1_000
_NICENESS = -10
_ADDRESSES = {socket.AF_INET: HOSTS_BY_NAME["app"].ipv4, socket.AF_INET6: HOSTS_BY_NAME["app"].ipv6}


class Datagrams:
    """One UDP stream."""

    def __init__(self, family: socket.AddressFamily) -> None:
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.connect((_ADDRESSES[family], PROBE_PORT))
        self._socket.setblocking(False)

    def send(self, payload: bytes) -> None:
        """Send one packet. Raises OSError when the local kernel refuses it, which an output rule does."""
        self._socket.send(payload)


class Session:
    """One TCP session, opened anew a while after it was lost."""

    def __init__(self, family: socket.AddressFamily) -> None:
        self._family = family
        self._rest = b""
        self._retry_at_ns = 0
        self._socket = self._connected(timeout=2.0)

    def _connected(self, timeout: float) -> socket.socket:
        sock = socket.create_connection((_ADDRESSES[self._family], PROBE_PORT), timeout)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
        return sock

    def send(self, payload: bytes) -> None:
        """Send one record, or skip it while an older one is stuck. Raises OSError without a session."""
        if self._retry_at_ns:
            self._reconnect()
            return
        self._rest = self._rest or payload
        try:
            self._rest = self._rest[self._socket.send(self._rest) :]
        except BlockingIOError:
            return
        except OSError:
            self._lose()
            raise

    def _lose(self) -> None:
        self._socket.close()
        self._rest = b""
        self._retry_at_ns = time.monotonic_ns() + _RECONNECT_NS

    def _reconnect(self) -> None:
        """Begin a connection without waiting for it: sends say whether it came about."""
        if time.monotonic_ns() < self._retry_at_ns:
            raise ConnectionError
        self._socket = socket.socket(self._family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
        self._retry_at_ns = 0
        with contextlib.suppress(BlockingIOError):
            self._socket.connect((_ADDRESSES[self._family], PROBE_PORT))


class Sender:
    """All streams and the tape."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._streams: dict[str, Datagrams | Session] = {
            "udp4": Datagrams(socket.AF_INET),
            "udp6": Datagrams(socket.AF_INET6),
            "tcp4": Session(socket.AF_INET),
            "tcp6": Session(socket.AF_INET6),
        }

    def send(self, name: str) -> None:
        """One packet of one stream; noted before it is sent, so that the first blocked one has its time."""
        stream = STREAMS.index(name)
        sequence = self._tape.next_sequence(stream)
        self._tape.write(stream, sequence, time.time_ns())
        self._tape.advance(stream, sequence + 1)
        try:
            self._streams[name].send(RECORD.pack(sequence))
        except OSError:
            self._tape.count_error()

    def tick(self, number: int) -> None:
        """The packets that are due; the slow streams take turns, so that no tick carries all of them."""
        self.send("udp4")
        turn = number % SLOW_EVERY
        if 0 < turn < len(STREAMS):
            self.send(STREAMS[turn])


def keep_pace(sender: Sender, tape: Tape, rate_per_second: int) -> None:
    """Tick against an absolute clock: a late tick doesn't delay the following ones.

    After a stall the missed ticks are left out: sent in a burst they would pretend a rate that was not there.
    """
    period_ns, number = 1_000_000_000 // rate_per_second, 0
    due_ns = time.monotonic_ns()
    while True:
        wait_ns = due_ns - time.monotonic_ns()
        if wait_ns > 0:
            time.sleep(wait_ns / 1e9)
        elif wait_ns < -_STALL_NS:
            tape.count_stall()
            due_ns = time.monotonic_ns()
        sender.tick(number)
        number, due_ns = number + 1, due_ns + period_ns


def main() -> None:
    """Connect, say so, then send until killed."""
    rate, tape = int(sys.argv[1]), Tape(int(sys.argv[2]))
    sender = Sender(tape)
    # The gauge must not starve just when what it measures keeps the machine busy.
    os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    keep_pace(sender, tape, rate)


if __name__ == "__main__":
    main()
