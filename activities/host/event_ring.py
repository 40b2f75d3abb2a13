"""Kernel events on disk: lines of JSON in segments, bounded in size and age.

Owns the segments and their rotation. A closed segment is never written again, so that evidence may share
its bytes by a hard link. Never knows where events come from.

    ring = EventRing(folder, limits, preamble)
    ring.append([{"event": "execution", ...}])
    ring.rotate()            # what was appended is now in closed()
"""

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pydantic import Field

from activities.host.clock import Ages
from segmentation.workloads import Frozen

Document = dict[str, Any]
_OPEN_SUFFIX, _CLOSED_SUFFIX = ".open", ".jsonl"


class EventLimits(Frozen):
    """How much of the kernel's events may stay on this host."""

    segment_bytes: int = Field(default=1 << 20, ge=1024)
    segments: int = Field(default=32, ge=2)
    max_age_seconds: int = Field(default=900, ge=10)


class EventRing:
    """Segments in one folder; safe for threads. `preamble` makes the first line of each."""

    def __init__(self, folder: Path, limits: EventLimits, preamble: Callable[[], Document]) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._limits, self._preamble = folder, limits, preamble
        self._lock, self._ages = threading.Lock(), Ages(limits.max_age_seconds)
        self._file: IO[str] | None = None
        self._path = folder / "none"
        for path in folder.glob(f"*{_OPEN_SUFFIX}"):
            _cut_half_line(path)
            path.rename(path.with_suffix(_CLOSED_SUFFIX))  # what an earlier agent left when it was killed
        self._next = 1 + max(map(number_of, self.closed()), default=0)

    def append(self, documents: Iterable[Document]) -> None:
        """Write lines; on disk as far as the kernel's cache goes when this returns.

        Raises:
            OSError: the disk is full or broken; the next lines begin a segment of their own.
        """
        with self._lock:
            try:
                self._write(documents)
            except OSError:
                self._abandon()
                raise

    def _write(self, documents: Iterable[Document]) -> None:
        file = self._file or self._begin()
        for document in documents:
            file.write(json.dumps(document) + "\n")
        file.flush()
        if file.tell() > self._limits.segment_bytes:
            self._end()

    def _abandon(self) -> None:
        """What is on disk of a segment that could not be written further, up to its last whole line."""
        file, self._file = self._file, None
        if file is None:
            return
        with contextlib.suppress(OSError):
            file.close()
        with contextlib.suppress(OSError):
            _cut_half_line(self._path)
            self._path.rename(self._path.with_suffix(_CLOSED_SUFFIX))

    def rotate(self) -> None:
        """Close the segment that is being written."""
        with self._lock:
            self._end()

    def closed(self) -> list[Path]:
        """Closed segments, the oldest first."""
        return sorted(self._folder.glob(f"*{_CLOSED_SUFFIX}"))

    def prune(self, *, hold: bool = False) -> None:
        """Forget what is too much, and what is too old unless it is on hold for an incident."""
        with self._lock:
            segments = self.closed()
            surplus = segments[: max(0, len(segments) - self._limits.segments)]
            horizon = self._ages.horizon()
            for path in segments:
                if path in surplus or (path.stat().st_mtime < horizon and not hold):
                    path.unlink()

    def _begin(self) -> IO[str]:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self._path = self._folder / f"{self._next:09d}-{stamp}{_OPEN_SUFFIX}"
        self._next += 1
        self._file = self._path.open("x", encoding="ascii")
        self._file.write(json.dumps({"event": "segment", **self._preamble()}) + "\n")
        return self._file

    def _end(self) -> None:
        # Where closing fails (a quota, a server), the file is closed all the same: nobody must write to it again.
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            finally:
                self._path.rename(self._path.with_suffix(_CLOSED_SUFFIX))


def _cut_half_line(path: Path) -> None:
    """A writer that was killed may leave half of its last line; the next segment's first would be joined to it."""
    with path.open("r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)


def number_of(segment: Path) -> int:
    """The place of a segment among all that this host ever wrote."""
    return int(segment.name.split("-")[0])


def join(segments: Iterable[Path], target: Path) -> None:
    """One file of these segments; whole or not there."""
    draft = target.with_suffix(".draft")
    try:
        with draft.open("wb") as file:
            for segment in segments:
                with segment.open("rb") as part:
                    shutil.copyfileobj(part, file)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    draft.replace(target)
