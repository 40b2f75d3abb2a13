"""Reading bytes that nobody vouches for: counted, bounded in number and in time.

Owns the bounds. What is behind one is as if it were not there, and `notes` says so.
"""

import io
import time
from typing import BinaryIO

BUFFER_BYTES = 1 << 20


class Bounded(io.RawIOBase):
    """A stream that ends at `max_bytes`."""

    def __init__(self, source: BinaryIO, max_bytes: int) -> None:
        super().__init__()
        self._source, self._left = source, max_bytes
        self.count = 0
        self.cut = False

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Some bytes; none at the end or at the bound."""
        wanted = min(len(buffer), self._left)
        if not wanted:
            # One more than the bound, to know whether there was more.
            self.cut = self.cut or bool(self._source.read(1))
            return 0
        chunk = self._source.read(wanted)
        buffer[: len(chunk)] = chunk
        self._left -= len(chunk)
        self.count += len(chunk)
        return len(chunk)


def buffered(source: Bounded) -> io.BufferedReader:
    """The same with a buffer, so that single lines and blocks cost no call each."""
    return io.BufferedReader(source, BUFFER_BYTES)


class Deadline:
    """A moment after which reading ends with what there is."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self.missed = False

    def passed(self) -> bool:
        """Whether it is over; remembered."""
        self.missed = self.missed or time.monotonic() > self._end
        return self.missed

    @property
    def note(self) -> str:
        """What to tell people."""
        return f"Reading ended after {self._seconds:.0f} s; what follows in the item is not in here."
