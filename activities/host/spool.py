"""Bringing bytes of unknown length to disk within bounds: size, time, and the room that others need.

Owns the copy of a stream and the output of a command. The disk of a host that is contained is not ours to fill: its
journal, and whatever it serves, need some of it.

    spooled = spool_output(("dpkg", "--verify"), target, max_bytes=1 << 20, deadline=time.monotonic() + 30)
    spooled.truncated, spooled.exit_status     # -> "", 0
"""

import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

RESERVE_BYTES = 64 << 20
CHUNK_BYTES = 256 << 10
_SAID_BYTES = 2000
_WAIT_SECONDS = 0.25


@dataclass(frozen=True)
class Spooled:
    """What came of it. `truncated`: why something is missing."""

    size: int
    truncated: str = ""
    exit_status: int | None = None
    said: str = ""


def room(folder: Path, reserve: int = RESERVE_BYTES) -> int:
    """Octets that may still be written beside others' need; 0 when there is none."""
    return max(0, shutil.disk_usage(folder).free - reserve)


def spool(chunks: Iterator[bytes], target: Path, max_bytes: int, deadline: float) -> Spooled:
    """Write chunks until they end or a bound is reached; synced. An empty chunk only looks at the time.

    Raises:
        OSError: the disk takes no more.
    """
    free = room(target.parent)
    bound = min(max_bytes, free)
    size, truncated = 0, ""
    with target.open("wb") as file:
        for chunk in chunks:
            file.write(chunk[: bound - size])
            size += len(chunk)
            if size > bound:
                truncated = _why(max_bytes, free)
                break
            if time.monotonic() > deadline:
                truncated = "the time budget was spent"
                break
        file.flush()
        os.fsync(file.fileno())
    return Spooled(min(size, bound), truncated)


def spool_output(
    command: tuple[str, ...], target: Path, max_bytes: int, deadline: float, *, beat: Callable[[], None] = lambda: None
) -> Spooled:
    """A command's output in a file; it is ended when a bound is reached. Everything else on this host goes first.

    Raises:
        OSError: it can't be started, or the disk takes no more.
    """
    complaints = target.with_suffix(".stderr")
    with complaints.open("w+b") as stderr:
        with _running(("nice", "-n", "10", *command), stderr, deadline) as (process, output):
            spooled = spool(_chunks(output, beat), target, max_bytes, deadline)
        said = _said(stderr)
    complaints.unlink()
    return Spooled(spooled.size, spooled.truncated, process.returncode, said)


def read_output(
    command: tuple[str, ...], max_bytes: int, deadline: float, *, beat: Callable[[], None] = lambda: None
) -> tuple[bytes, Spooled]:
    """A command's output in memory; it is ended when a bound is reached. Takes no room on the disk.

    Raises:
        OSError: it can't be started.
    """
    taken, truncated = bytearray(), ""
    with os.fdopen(os.memfd_create("stderr", os.MFD_CLOEXEC), "w+b") as stderr:
        with _running(command, stderr, deadline) as (process, output):
            for chunk in _chunks(output, beat):
                taken += chunk
                if len(taken) > max_bytes:
                    truncated = f"ended at its limit of {max_bytes} bytes"
                elif time.monotonic() > deadline:
                    truncated = "it did not end within the time budget"
                if truncated:
                    break
        said = _said(stderr)
    return bytes(taken[:max_bytes]), Spooled(min(len(taken), max_bytes), truncated, process.returncode, said)


@contextmanager
def _running(
    command: tuple[str, ...], stderr: IO[bytes], deadline: float
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr) as process:
        assert process.stdout is not None  # noqa: S101  asked for above
        try:
            yield process, process.stdout
        finally:
            # Waiting for a command that still writes would be waiting for ever.
            if process.poll() is None:
                process.stdout.close()
                _end(process, deadline)


def _said(stderr: IO[bytes]) -> str:
    stderr.seek(0)
    return stderr.read(_SAID_BYTES).decode(errors="backslashreplace").strip()


def _end(process: subprocess.Popen[bytes], deadline: float) -> None:
    """It has closed its output or was cut off: a moment to end by itself."""
    try:
        process.wait(max(0.0, min(1.0, deadline - time.monotonic())))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _chunks(output: IO[bytes], beat: Callable[[], None]) -> Iterator[bytes]:
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            beat()
            if not selector.select(_WAIT_SECONDS):
                yield b""
            elif chunk := os.read(output.fileno(), CHUNK_BYTES):
                yield chunk
            else:
                return


def _why(max_bytes: int, free: int) -> str:
    if free < max_bytes:
        return f"the disk has no more room: {free} bytes beside the reserve of {RESERVE_BYTES}"
    return f"ended at its limit of {max_bytes} bytes"
