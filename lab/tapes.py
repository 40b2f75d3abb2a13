"""What the prober's two processes write and its owner reads: a tape a side, in shared memory.

Owns the layout. A tape is an anonymous memfd(2): nothing of it can stay behind on a disk, and no journal of a
file system delays the process that measures. Never interprets what is on it.

    tape = Tape.create(); tape.write(STREAMS.index("udp4"), sequence=7, at_ns=time.time_ns()); tape.read(0, 7)
"""

import mmap
import os
from typing import Self

STREAMS = ("udp4", "udp6", "tcp4", "tcp6")
CAPACITY = 1 << 19  # packets a stream that are remembered: 8 minutes at 1000 a second
_HEADER_WORDS = 512
_RECORD_WORDS = 2
_HEARTBEAT, _ERRORS, _STALLS, _NEXT = 0, 1, 2, 8
_SIZE = 8 * (_HEADER_WORDS + len(STREAMS) * CAPACITY * _RECORD_WORDS)


class Tape:
    """Ring of (sequence + 1, time) for every stream. One writer; readers may be other processes."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, _SIZE)
        self._words = memoryview(self._memory).cast("Q")

    @classmethod
    def create(cls) -> Self:
        """An empty tape; its descriptor can be handed to a child process."""
        descriptor = os.memfd_create("firebreak-prober")
        os.truncate(descriptor, _SIZE)
        return cls(descriptor)

    def close(self) -> None:
        """Give the memory back. May be called again."""
        if not self._memory.closed:
            self._words.release()
            self._memory.close()
            os.close(self.descriptor)

    def write(self, stream: int, sequence: int, at_ns: int) -> None:
        """Note one packet. The sequence goes last: until then the record doesn't count."""
        slot = _slot(stream, sequence)
        self._words[slot + 1] = at_ns
        self._words[slot] = sequence + 1

    def read(self, stream: int, sequence: int) -> int:
        """When the packet was sent or arrived; 0 if it never was, or is no longer remembered."""
        slot = _slot(stream, sequence)
        return self._words[slot + 1] if self._words[slot] == sequence + 1 else 0

    def next_sequence(self, stream: int) -> int:
        """One more than the newest sequence of the stream."""
        return self._words[_NEXT + stream]

    def advance(self, stream: int, next_sequence: int) -> None:
        """Say which sequence comes next."""
        self._words[_NEXT + stream] = next_sequence

    @property
    def heartbeat_ns(self) -> int:
        """Up to when everything that had arrived is on the tape."""
        return self._words[_HEARTBEAT]

    def beat(self, at_ns: int) -> None:
        """Say that everything up to this time is on the tape."""
        self._words[_HEARTBEAT] = at_ns

    @property
    def errors(self) -> int:
        """Sends that the local kernel refused."""
        return self._words[_ERRORS]

    def count_error(self) -> None:
        """One more."""
        self._words[_ERRORS] += 1

    @property
    def stalls(self) -> int:
        """How often the sender was too late to keep its pace."""
        return self._words[_STALLS]

    def count_stall(self) -> None:
        """One more."""
        self._words[_STALLS] += 1


def _slot(stream: int, sequence: int) -> int:
    return _HEADER_WORDS + _RECORD_WORDS * (stream * CAPACITY + sequence % CAPACITY)
