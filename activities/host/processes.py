"""Processes of this host from /proc (proc(5)): who they are, which sockets they hold, who is with them.

Owns reading; everything read is bounded and escaped, because an intruder chose it. Never signals anybody.

    owners(inodes)             # -> {4711: {inode, ...}}, in the calling thread's network namespace
    describe(4711)             # -> ProcessRef, or None when it is gone
    members(4711)              # -> pids of process group 4711 that still live
"""

import os
import pwd
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from activities.contracts.host import MAX_ARGUMENTS, ProcessRef
from activities.host.executable_digests import Digests
from activities.host.observe import own_netns
from segmentation.bounds import COMMAND_LENGTH, few, few_words

PERMISSIONS = ("CAP_SYS_PTRACE",)
MAX_SOCKETS = 32
MAX_TEXT = 256
MAX_PATH = 4096
_PROC = Path("/proc")
# A process may end, or become a zombie, between any two reads; one that we may not read is none of ours.
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)
_DEAD_STATES = frozenset("ZXx")


@dataclass(frozen=True)
class Stat:
    """What /proc/pid/stat says of a process."""

    pid: int
    state: str
    pgid: int
    session: int
    start_ticks: int

    @property
    def living(self) -> bool:
        """A zombie has ended: it holds no memory, no sockets, and waits for its parent alone."""
        return self.state not in _DEAD_STATES


def stat(pid: int) -> Stat | None:
    """The process that has this pid now; None when there is none."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except _GONE:
        return None
    # The name stands in parentheses and may hold both spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    return Stat(pid, fields[0], int(fields[2]), int(fields[3]), int(fields[19]))


def members(pgid: int) -> tuple[Stat, ...]:
    """Living processes of a process group."""
    return tuple(found for pid in _pids() if (found := stat(pid)) and found.pgid == pgid and found.living)


def netns_of(pid: int) -> int | None:
    """Inode of a process's network namespace; None when the process is gone."""
    try:
        return (_PROC / str(pid) / "ns" / "net").stat().st_ino
    except _GONE:
        return None


def owners(inodes: Collection[int]) -> dict[int, set[int]]:
    """Processes of the calling thread's network namespace that hold one of these sockets, and which."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes if inode}
    ours = own_netns()
    found: dict[int, set[int]] = defaultdict(set)
    for pid in _pids() if wanted else ():
        if netns_of(pid) == ours:
            for link in _open_files(pid):
                if link in wanted:
                    found[pid].add(wanted[link])
    return dict(found)


def describe(pid: int, sockets: Collection[str] = (), digests: Digests | None = None) -> ProcessRef | None:
    """Everything that tells this process from any later one; None when it is gone or can't be one of ours."""
    before = stat(pid)
    if before is None or not before.living or before.pgid <= 1 or pid <= 1:
        return None
    executable = _PROC / str(pid) / "exe"
    try:
        found = ProcessRef(
            pid=pid,
            pgid=before.pgid,
            start_ticks=before.start_ticks,
            executable=printable(str(executable.readlink()), MAX_PATH),
            executable_sha256=digests.of(pid).sha256 if digests else "",
            command=_command(pid),
            user=_user(pid),
            sockets=few(sorted(sockets), MAX_SOCKETS),
        )
    except _GONE:
        return None
    after = stat(pid)
    return found if after and after.start_ticks == before.start_ticks else None


def executable_of(pid: int) -> str | None:
    """Path of what the process runs, as `describe` writes it."""
    try:
        return printable(str((_PROC / str(pid) / "exe").readlink()), MAX_PATH)
    except _GONE:
        return None


def printable(text: str | bytes, limit: int = MAX_TEXT) -> str:
    """Text without control characters or undecodable bytes, cut to a bound."""
    decoded = text if isinstance(text, str) else text.decode("utf-8", "backslashreplace")
    shown = (c if c.isprintable() else ascii(c)[1:-1] for c in decoded[:limit])
    return "".join(shown)[:limit]


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir(_PROC) if name.isdigit())  # noqa: PTH208  names are all we need


def _open_files(pid: int) -> Iterator[str]:
    directory = f"/proc/{pid}/fd"
    try:
        names = os.listdir(directory)  # noqa: PTH208
    except _GONE:
        return
    for name in names:
        try:
            yield os.readlink(f"{directory}/{name}")  # noqa: PTH115  ten times as fast, and there are thousands
        except _GONE:
            continue


def _command(pid: int) -> tuple[str, ...]:
    with (_PROC / str(pid) / "cmdline").open("rb") as file:
        raw = file.read(MAX_ARGUMENTS * MAX_TEXT)
    arguments = [printable(part) for part in raw.rstrip(b"\0").split(b"\0")[:MAX_ARGUMENTS]]
    return few_words(arguments, COMMAND_LENGTH)


def _user(pid: int) -> str:
    uid = (_PROC / str(pid)).stat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
