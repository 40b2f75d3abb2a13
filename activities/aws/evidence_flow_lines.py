"""One file of flow logs, unpacked line by line, and of its lines those that are about the target.

Owns the bounds on what a file may be: whoever rules the account may have put it there. Never holds more of a file than
the lines that are kept, and never knows where it came from.

    found = sift(body, {b"eni-1"}, Allowance(), lambda: False)
    found.header, found.lines, found.left_out
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

INTERFACE = b"interface-id"
# AWS ends a file at 75 MB (VPC guide, "Flow log files").
LARGEST_FILE = 80 << 20
LONGEST_LINE = 16 << 10
# A line counts as no less: one of nothing but its end costs as much work as a whole one.
LEAST_LINE = 64
# Flow logs unpack to some ten times their size, and gzip reaches 1032 times with zeros.
MOST_TIMES, FIRST_BYTES = 200, 1 << 20
# Of all files together, in bytes; what is kept is counted as JSON, which it becomes: an item has 64 MiB at most.
MOST_PACKED, MOST_PLAIN, MOST_KEPT = 256 << 20, 1 << 30, 24 << 20


class Body(Protocol):
    """What the bytes of a file come from."""

    def read(self, amt: int, /) -> bytes:
        """The next bytes; none at the end."""


@dataclass
class Allowance:
    """What may still be read, in bytes, of all files of one order together."""

    packed: int = field(default_factory=lambda: MOST_PACKED)
    plain: int = field(default_factory=lambda: MOST_PLAIN)
    kept: int = field(default_factory=lambda: MOST_KEPT)


@dataclass
class Sifted:
    """What was found in one file, as far as it was read. `sha256` is of the whole file as stored, if it was read."""

    header: str = ""
    lines: list[str] = field(default_factory=list)
    left_out: int = 0
    size: int = 0
    sha256: str = ""
    names_interfaces: bool = False
    problem: str = ""
    spent: str = ""


class _Damaged(Exception):
    """This file is not what AWS writes."""


class _Spent(Exception):
    """No file can be read any further."""


def sift(body: Body, wanted: AbstractSet[bytes], allowance: Allowance, is_late: Callable[[], bool]) -> Sifted:
    """The header of a file, and its lines of these interfaces; all lines where its header has no interface-id.

    A line that is too short to tell its interface is kept.
    """
    found = Sifted()
    source = _Source(body, allowance, is_late)
    try:
        with gzip.GzipFile(fileobj=source, mode="rb") as plain:  # type: ignore[call-overload]  # it asks for `read` alone
            _take(_Lines(plain, source, allowance), wanted, allowance, found)
        found.sha256 = source.digest.hexdigest()
    except _Spent as error:
        found.spent = str(error)
    except _Damaged as error:
        found.problem = str(error)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        found.problem = f"is not whole, or no gzip: {error}"
    found.size = source.size
    return found


class _Source:
    """The bytes as stored, counted."""

    def __init__(self, body: Body, allowance: Allowance, is_late: Callable[[], bool]) -> None:
        self._body, self._allowance, self._is_late = body, allowance, is_late
        self.size, self.digest = 0, hashlib.sha256()

    def read(self, amount: int) -> bytes:
        """The next bytes, as long as there is time."""
        if self._is_late():
            raise _Spent("the time budget was spent")
        chunk = self._body.read(amount)
        self.size += len(chunk)
        self._allowance.packed -= len(chunk)
        self.digest.update(chunk)
        if self.size > LARGEST_FILE:
            raise _Damaged(f"is larger than the {LARGEST_FILE >> 20} MiB that a file of flow logs has at most")
        if self._allowance.packed < 0:
            raise _Spent("more bytes in files than may be read")
        return chunk


class _Lines:
    """The unpacked lines, counted."""

    def __init__(self, plain: gzip.GzipFile, source: _Source, allowance: Allowance) -> None:
        self._plain, self._source, self._allowance = plain, source, allowance
        self._size = 0

    def next(self) -> bytes:
        """The next line with its end; nothing at the end of the file."""
        line = self._plain.readline(LONGEST_LINE)
        cost = max(len(line), LEAST_LINE) if line else 0
        self._size += cost
        self._allowance.plain -= cost
        if self._size > self._source.size * MOST_TIMES + FIRST_BYTES:
            raise _Damaged(f"unpacks to more than {MOST_TIMES} times its size: no flow log does")
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            raise _Damaged(f"has a line of more than {LONGEST_LINE} bytes: no flow log has")
        if self._allowance.plain < 0:
            raise _Spent("more unpacked bytes than may be read")
        return line


def _take(lines: _Lines, wanted: AbstractSet[bytes], allowance: Allowance, found: Sifted) -> None:
    header = lines.next()
    found.header = _kept(header, allowance)
    names = header.split()
    place = names.index(INTERFACE) if INTERFACE in names else None
    found.names_interfaces = place is not None
    first = 1 if place is None else place + 1
    for line in iter(lines.next, b""):
        values = line.split(maxsplit=first)
        if not values:
            continue
        if place is not None and place < len(values) and values[place] not in wanted:
            found.left_out += 1
            continue
        found.lines.append(_kept(line, allowance))


def _kept(line: bytes, allowance: Allowance) -> str:
    text = line.rstrip(b"\r\n").decode("ascii", errors="backslashreplace")
    allowance.kept -= len(json.dumps(text)) + len(",\n    ")
    if allowance.kept < 0:
        raise _Spent("more lines than may be kept")
    return text
