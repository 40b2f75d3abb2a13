"""The prober's receiver, inside `app`: which numbered packets arrived, and when.

Owns the listening sockets. Never answers: the UDP streams must look new to connection tracking.

    python -m lab.receiving TAPE_DESCRIPTOR

It looks every few milliseconds instead of waking for each packet, which costs a tenth of the processor time.
An arrival's time is thus late by up to that pace; the time that counts, the sending, is on the sender's tape.
"""

import os
import socket
import sys
import time

from lab.sending import RECORD
from lab.tapes import STREAMS, Tape
from lab.topology import HOSTS_BY_NAME, PROBE_PORT

_SO_RCVBUFFORCE = 33  # socket(7); Python's socket module doesn't name it
_PACE_SECONDS = 0.01
_BUFFER_BYTES = 4 << 20
_READ_BYTES = 65_536
_NICENESS = -10
_APP = HOSTS_BY_NAME["app"]


class Datagrams:
    """Arrivals of one UDP stream."""

    def __init__(self, family: socket.AddressFamily, address: str) -> None:
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        # Above the machine's limit on purpose: a late wake-up must not look like a lost packet.
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.bind((address, PROBE_PORT))
        self._socket.setblocking(False)

    def drain(self) -> list[int]:
        """Sequences that came since the last call."""
        sequences = []
        try:
            while True:
                sequences.append(RECORD.unpack(self._socket.recv(RECORD.size))[0])
        except BlockingIOError:
            return sequences


class Sessions:
    """Arrivals on TCP sessions of one family; a lost session is replaced by the next one that comes in."""

    def __init__(self, family: socket.AddressFamily, address: str) -> None:
        self._listener = socket.create_server((address, PROBE_PORT), family=family)
        self._listener.setblocking(False)
        self._sessions: dict[socket.socket, bytes] = {}

    def drain(self) -> list[int]:
        """Sequences that came since the last call, on any session."""
        self._accept()
        return [sequence for session in tuple(self._sessions) for sequence in self._drain(session)]

    def _accept(self) -> None:
        try:
            session, _ = self._listener.accept()
        except BlockingIOError:
            return
        session.setblocking(False)
        self._sessions[session] = b""

    def _drain(self, session: socket.socket) -> list[int]:
        try:
            data = session.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            del self._sessions[session]
            session.close()
            return []
        data = self._sessions[session] + data
        whole = len(data) - len(data) % RECORD.size
        self._sessions[session] = data[whole:]
        return [sequence for (sequence,) in RECORD.iter_unpack(data[:whole])]


def note_arrivals(tape: Tape, sources: dict[str, Datagrams | Sessions]) -> None:
    """Put everything that has arrived by now on the tape, then say so."""
    began_ns = time.time_ns()
    for name, source in sources.items():
        stream = STREAMS.index(name)
        for sequence in source.drain():
            tape.write(stream, sequence, time.time_ns())
    tape.beat(began_ns)


def main() -> None:
    """Listen, say so, then look until killed."""
    tape = Tape(int(sys.argv[1]))
    sources: dict[str, Datagrams | Sessions] = {
        "udp4": Datagrams(socket.AF_INET, _APP.ipv4),
        "udp6": Datagrams(socket.AF_INET6, _APP.ipv6),
        "tcp4": Sessions(socket.AF_INET, _APP.ipv4),
        "tcp6": Sessions(socket.AF_INET6, _APP.ipv6),
    }
    os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        note_arrivals(tape, sources)
        time.sleep(_PACE_SECONDS)


if __name__ == "__main__":
    main()
