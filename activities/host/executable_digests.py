"""Digests of what processes run, within bounds of octets and of time.

Owns which executables are read and how long anybody waits for one: each file once, told apart by device, inode and time
of change. A child of ours reads them (`hashing_child`), because a file system that an intruder serves (FUSE) may never
answer, and who waits for it in the kernel can't even be killed. Whoever asks waits for so long at most, beats meanwhile
and goes on with another child. What is not hashed is said with its reason.

    with Digests(deadline, beat) as digests:
        digests.of(4711)              # -> Digest(sha256="9f86...")
        digests.of(4712)              # -> Digest(why="it is larger than 268435456 bytes")
    told([("/opt/big", digest)])      # -> "1 executable has no hash: /opt/big (it is larger than 268435456 bytes)"
"""

import contextlib
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field

from activities.host import hashing_child
from segmentation.workloads import Frozen

PERMISSIONS = ("CAP_SYS_PTRACE",)
ENDED = "the process ended before its turn"
_PROC = Path("/proc")
_CHILD = (sys.executable, "-I", "-S", hashing_child.__file__)
_BEAT_SECONDS = 0.2
# What a file may take to say which one it is when there is no time left to read it: it may be one that is known.
_LOOK_SECONDS = 0.2
# Of the time that a collection has, others need the most.
_SHARE = 4
_MAX_TOLD, _MAX_NAME = 8, 100
_ANSWER_BYTES = 1 << 10
Key = tuple[int, int, int]


class HashLimits(Frozen):
    """How much a collection reads of executables at most."""

    file_max_bytes: int = Field(default=256 << 20, ge=0)
    file_seconds: float = Field(default=5.0, gt=0)
    total_max_bytes: int = Field(default=2 << 30, ge=0)
    total_seconds: float = Field(default=15.0, gt=0, description="And never more than a quarter of the budget.")


@dataclass(frozen=True)
class Digest:
    """The digest of a file, or why there is none."""

    sha256: str = ""
    why: str = ""


class Digests:
    """One collection's digests; belongs to one thread, and is to be closed."""

    def __init__(
        self, deadline: float, beat: Callable[[], None] = lambda: None, limits: HashLimits | None = None
    ) -> None:
        self._deadline, self._beat, self._limits = deadline, beat, limits or HashLimits()
        self._seconds_left = min(self._limits.total_seconds, (deadline - time.monotonic()) / _SHARE)
        self._bytes_left = self._limits.total_max_bytes
        self._known: dict[Key, Digest] = {}
        self._silent: dict[tuple[int, str], Digest] = {}
        self._child: _Child | None = None
        self._given_up = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child; nothing is hashed any more."""
        if self._child is not None:
            self._child.leave()
            self._child = None

    def of(self, pid: int) -> Digest:
        """What this process runs, deleted from the disk or not."""
        place = _place(pid)
        if place is None:
            return Digest(why=ENDED)
        if place in self._silent:
            return self._silent[place]
        return Digest(why=self._given_up) if self._given_up else self._asked(pid, place)

    def _asked(self, pid: int, place: tuple[int, str]) -> Digest:
        begun = time.monotonic()
        left = min(self._seconds_left, self._deadline - begun)
        patience = min(self._limits.file_seconds, left) if left > 0 else _LOOK_SECONDS
        try:
            self._child = self._child or _Child()
            return self._read(self._child, pid, begun + patience, in_time=left > 0)
        except TimeoutError:
            self.close()
            self._silent[place] = Digest(why=f"it was not read within {patience:.1f} s")
            self._given_up = "" if left > 0 else "the time for hashing was spent"
            return self._silent[place]
        except OSError as error:
            self.close()
            return Digest(why=f"it could not be read: {error}")
        finally:
            self._seconds_left -= time.monotonic() - begun

    def _read(self, child: "_Child", pid: int, until: float, *, in_time: bool) -> Digest:
        kind, *words = child.ask(str(pid), until, self._beat)
        if kind != "file":
            return Digest(why=ENDED if kind == "ended" else f"it could not be read: {' '.join(words)}")
        device, inode, changed, size = map(int, words)
        key = (device, inode, changed)
        limit, beyond = self._limit(size, in_time=in_time)
        known = self._known.get(key)
        kind, *words = child.ask("0" if known or size > limit else str(limit), until, self._beat)
        if known or size > limit:
            return known or Digest(why=beyond)
        self._bytes_left -= int(words[-1])
        self._known[key] = Digest(sha256=words[0]) if kind == "digest" else Digest(why=beyond)
        return self._known[key]

    def _limit(self, size: int, *, in_time: bool) -> tuple[int, str]:
        """How much of a file may be read, and what to say of one that is larger."""
        if not in_time:
            return -1, "the time for hashing was spent"
        most = self._limits.file_max_bytes
        if size <= most and self._bytes_left < most:
            return self._bytes_left, f"more than the {self._limits.total_max_bytes} bytes that are hashed at most"
        return most, f"it is larger than {most} bytes"


class _Child:
    """The process that reads."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            _CHILD, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def ask(self, line: str, until: float, beat: Callable[[], None]) -> list[str]:
        """The words of its answer.

        Raises:
            TimeoutError: there is none yet; the child is of no more use.
            OSError: the child ended.
        """
        assert self._process.stdin is not None  # noqa: S101  asked for above
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.write(f"{line}\n".encode())
        said = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not said.endswith(b"\n"):
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                if selector.select(min(_BEAT_SECONDS, left)):
                    more = os.read(self._process.stdout.fileno(), _ANSWER_BYTES)
                    if not more:
                        raise BrokenPipeError("the process that reads executables ended")
                    said += more
                beat()
        return said.decode().split()

    def leave(self) -> None:
        """End it. One that waits in the kernel ends when its file system does: nobody waits for that."""
        for end in (self._process.stdin, self._process.stdout):
            if end is not None:
                end.close()
        self._process.kill()
        with contextlib.suppress(RuntimeError):  # no thread to be had: then nobody learns of its end
            threading.Thread(target=self._process.wait, name="hashing-child", daemon=True).start()


def told(found: Iterable[tuple[str, Digest]]) -> str:
    """Which executables have no hash and why, each once; those that ended meanwhile are said where they stand."""
    without = {executable: digest.why for executable, digest in found if digest.why not in ("", ENDED)}
    named = [f"{executable[:_MAX_NAME]} ({why})" for executable, why in sorted(without.items())]
    more = [f"and {len(named) - _MAX_TOLD} more"] if len(named) > _MAX_TOLD else []
    have = "1 executable has" if len(named) == 1 else f"{len(named)} executables have"
    return f"{have} no hash: {'; '.join([*named[:_MAX_TOLD], *more])}" if named else ""


def _place(pid: int) -> tuple[int, str] | None:
    """What names a file that does not say which one it is: a mount namespace and a path. Asks no file system."""
    folder = _PROC / str(pid)
    try:
        return (folder / "ns" / "mnt").stat().st_ino, str((folder / "exe").readlink())
    except PermissionError:
        return 0, str(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
