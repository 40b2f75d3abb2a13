"""Memory of processes on request: what is in it now, page by page, within a bound.

Owns choosing the processes and reading /proc/pid/mem. Only pages that are there are read: to read another one would
make it, and change the process. The process is not stopped, so that nobody who watches it is warned; its pages are of
slightly different times. Needs CAP_SYS_PTRACE; never attaches.

    dumped = dump(ref.pid, ref.start_ticks, folder / "memory-4711.raw", 256 << 20, deadline)
    dumped.extents      # -> [{"address": "0x7f...", "offset": 0, "size": 8192}]
"""

import io
import os
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from activities.contracts.collecting import CollectVolatileOrder
from activities.contracts.evidence import Outcome
from activities.contracts.host import ProcessRef
from activities.host.intruders import find_intruders
from activities.host.processes import MAX_PATH, describe, owners, printable, stat
from activities.host.sockets import list_sockets
from activities.host.spool import room

PERMISSIONS = ("CAP_SYS_PTRACE",)
MAX_PROCESSES = 8
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CHUNK_PAGES = 256
# Entries of pagemap (admin-guide/mm/pagemap.rst): 63 in memory, 62 swapped out.
_THERE = 0b11 << 62
_PAGEMAP_PAGES = 1 << 16
_MAX_EXTENTS, _MAX_REGIONS = 50_000, 20_000
_MAX_MAPS_BYTES = 16 << 20
# To read device memory can do something; the other two are the kernel's own.
_NEVER = ("/dev/", "[vvar", "[vsyscall]")
_NOT_DEVICES = ("/dev/shm/", "/dev/zero")  # noqa: S108  memory that processes share, not a place for files of ours


@dataclass(frozen=True)
class Region:
    """One line of /proc/pid/maps."""

    start: int
    end: int
    permissions: str
    name: str

    @property
    def rank(self) -> int:
        """What a process wrote goes before code that may be its own, and that before files, which are on disk too."""
        if self.permissions[1] == "w":
            return 0
        return 1 if self.permissions[2] == "x" and not self.name.startswith("/") else 2


@dataclass
class Dumped:
    """What was read of one process."""

    regions: list[dict[str, Any]] = field(default_factory=list)
    extents: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0
    stopped: str = ""
    failed: str = ""

    @property
    def outcome(self) -> Outcome:
        """What became of it."""
        if not self.size:
            why = self.failed or self.stopped
            return Outcome(state="failed" if why else "empty", reason=why or "no page of it is in memory")
        return Outcome(state="truncated", reason=self.stopped) if self.stopped else Outcome(state="collected")


def choose(order: CollectVolatileOrder) -> tuple[ProcessRef, ...]:
    """Whose memory: the accused's; where nobody is accused, of those with sockets, programs deleted from disk first."""
    if order.accused or order.accused_ports:
        return find_intruders(order.accused, order.accused_ports, hints=()).processes[:MAX_PROCESSES]
    remote = find_holders()
    suspects = [ref for pid in remote if pid != os.getpid() and (ref := describe(pid))]
    suspects.sort(key=lambda ref: (not ref.executable.endswith(" (deleted)"), -ref.start_ticks))
    return tuple(suspects[:MAX_PROCESSES])


def find_holders() -> tuple[int, ...]:
    """Processes that hold an internet socket with another end."""
    far = {s.inode for s in list_sockets(udp=True) if s.remote_port and not s.remote.is_loopback}
    return tuple(owners(far))


def dump(pid: int, start_ticks: int, target: Path, max_bytes: int, deadline: float) -> Dumped:
    """Write the pages of a process one after another into a file, what it wrote itself first.

    Raises:
        OSError: the disk takes no more.
    """
    dumped = Dumped()
    bound = min(max_bytes, room(target.parent))
    with target.open("wb") as file:
        try:
            regions = read_maps(pid)
            with _open(pid, "mem") as memory, _open(pid, "pagemap") as pages:
                reader = _Reader(memory.fileno(), pages.fileno(), dumped, bound, deadline)
                for region in sorted(regions, key=lambda region: region.rank):
                    reader.take(region, file)
                    if dumped.stopped:
                        break
        except PermissionError as error:
            dumped.failed = f"not allowed to read its memory: {error.strerror} (CAP_SYS_PTRACE)"
        except (FileNotFoundError, ProcessLookupError):
            dumped.failed = dumped.stopped = "the process ended before its turn"
        file.flush()
        os.fsync(file.fileno())
    after = stat(pid)
    if dumped.size and (after is None or not after.living or after.start_ticks != start_ticks):
        dumped.stopped = "the process ended while its memory was read"
    return dumped


def read_maps(pid: int) -> list[Region]:
    """The regions of a process, proc(5)."""
    # The kernel gives a page at a time.
    with io.BufferedReader(_open(pid, "maps")) as file:
        text = file.read(_MAX_MAPS_BYTES).decode("utf-8", "backslashreplace")
    return [_region(line) for line in text.splitlines()[:_MAX_REGIONS]]


def _open(pid: int, name: str) -> io.FileIO:
    return io.FileIO(f"/proc/{pid}/{name}")


def _region(line: str) -> Region:
    span, permissions, _, _, _, *name = line.split(None, 5)
    start, _, end = span.partition("-")
    return Region(int(start, 16), int(end, 16), permissions, printable(name[0], MAX_PATH) if name else "")


class _Reader:
    """Takes region after region until a bound is reached."""

    def __init__(self, memory: int, pages: int, dumped: Dumped, bound: int, deadline: float) -> None:
        self._memory, self._pages, self._dumped = memory, pages, dumped
        self._bound, self._deadline = bound, deadline

    def take(self, region: Region, file: Any) -> None:
        entry: dict[str, Any] = {
            "start": hex(region.start),
            "end": hex(region.end),
            "permissions": region.permissions,
            "name": region.name,
        }
        self._dumped.regions.append(entry)
        why = _unread(region)
        if why:
            entry["skipped"] = why
            return
        before = self._dumped.size
        for address, count in self._there(region):
            error = self._copy(address, count, file)
            if error:
                entry["unreadable"] = error
            if self._dumped.stopped:
                break
        entry["bytes"] = self._dumped.size - before

    def _there(self, region: Region) -> Iterator[tuple[int, int]]:
        """Runs of pages that are in memory or swapped out: address and number of pages."""
        for first in range(region.start // _PAGE, region.end // _PAGE, _PAGEMAP_PAGES):
            count = min(_PAGEMAP_PAGES, region.end // _PAGE - first)
            raw = os.pread(self._pages, count * 8, first * 8)
            yield from _runs(first, struct.unpack(f"={len(raw) // 8}Q", raw))
            self._look_at_the_time()
            if self._dumped.stopped:
                return

    def _copy(self, address: int, count: int, file: Any) -> str:
        for start in range(address, address + count * _PAGE, _CHUNK_PAGES * _PAGE):
            length = min(_CHUNK_PAGES * _PAGE, address + count * _PAGE - start)
            if self._dumped.size + length > self._bound or len(self._dumped.extents) >= _MAX_EXTENTS:
                self._dumped.stopped = f"ended at its limit of {self._bound} bytes"
                return ""
            self._look_at_the_time()
            try:
                data = os.pread(self._memory, length, start)
            except OSError as error:
                return str(error.strerror)  # a guard page, or memory of a device
            if not data:
                self._dumped.stopped = "the process ended while its memory was read"
                return ""
            file.write(data)
            self._note(start, len(data))
        return ""

    def _note(self, address: int, length: int) -> None:
        extents, size = self._dumped.extents, self._dumped.size
        last = extents[-1] if extents else None
        if last is not None and int(last["address"], 16) + last["size"] == address:
            last["size"] += length
        else:
            extents.append({"address": hex(address), "offset": size, "size": length})
        self._dumped.size += length

    def _look_at_the_time(self) -> None:
        if time.monotonic() > self._deadline:
            self._dumped.stopped = "the time budget was spent"


def _unread(region: Region) -> str:
    if region.permissions[0] != "r":
        return "not readable"
    never = region.name.startswith(_NEVER) and not region.name.startswith(_NOT_DEVICES)
    return "a device's, or the kernel's own" if never else ""


def _runs(first: int, entries: Sequence[int]) -> Iterator[tuple[int, int]]:
    start: int | None = None
    for number, entry in enumerate((*entries, 0)):
        there = bool(entry & _THERE)
        if there and start is None:
            start = number
        elif not there and start is not None:
            yield (first + start) * _PAGE, number - start
            start = None
