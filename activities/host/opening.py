"""Opening files on a host that an intruder may have arranged: what was named, and nothing else.

Owns the walk to a file and its metadata. A symbolic link among the folders is followed and told; one in the last place
is told and not followed. Devices, pipes and sockets are never opened: opening some of them does something. Times of
access are left alone where the kernel allows it.

    with opened("/etc/crontab") as file:
        file.metadata["mode"], file.via      # -> "0644", ""
        os.read(file.descriptor, 4096)
"""

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from activities.host.processes import MAX_PATH, printable
from segmentation.errors import FirebreakError

PERMISSIONS = ("CAP_DAC_READ_SEARCH",)
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = {
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}
_MAX_XATTRS = 64


class NotAFile(FirebreakError):
    """What is there under that name is no regular file. `metadata` says what it is."""

    code: ClassVar[str] = "not-a-file"

    def __init__(self, summary: str, metadata: dict[str, Any]) -> None:
        super().__init__(summary, hint="Name a regular file.")
        self.metadata = metadata


@dataclass(frozen=True)
class OpenFile:
    """A regular file. `via`: where it really is, when a symbolic link led there."""

    descriptor: int
    metadata: dict[str, Any]
    via: str


@contextmanager
def opened(path: str) -> Iterator[OpenFile]:
    """The regular file of that absolute path, open for reading.

    Raises:
        NotAFile: it is something else.
        OSError: it is not there, or somebody changed the folders while we walked.
    """
    named = Path(path)
    # Resolved first and then walked without following: who swaps a folder in between makes the walk fail.
    folder = named.parent.resolve()
    step = _walk(folder, named.name)
    try:
        found = os.fstat(step)
        real = folder / named.name
        metadata = _metadata(step, found)
        if not stat.S_ISREG(found.st_mode):
            raise NotAFile(_what_it_is(real, found, metadata), metadata)
        descriptor = _reopen(step)
    finally:
        os.close(step)
    try:
        yield OpenFile(descriptor, metadata, printable(str(real), MAX_PATH) if real != named else "")
    finally:
        os.close(descriptor)


def _walk(folder: Path, name: str) -> int:
    here = os.open("/", _STEP)
    for part in (*folder.parts[1:], name):
        try:
            there = os.open(part, _STEP, dir_fd=here)
        finally:
            os.close(here)
        here = there
    return here


def _reopen(step: int) -> int:
    """The very inode that was looked at: the name may stand for another by now."""
    place = f"/proc/self/fd/{step}"
    try:
        return os.open(place, _READ | os.O_NOATIME)
    except PermissionError as error:
        if error.errno != errno.EPERM:
            raise
        # Somebody else's file: leaving its time of access alone would take CAP_FOWNER, which may also change its mode.
        return os.open(place, _READ)


def _what_it_is(real: Path, found: os.stat_result, metadata: dict[str, Any]) -> str:
    kind = metadata["kind"]
    if stat.S_ISLNK(found.st_mode):
        target = printable(str(real.readlink()), MAX_PATH)
        metadata["target"] = target
        return f"a symbolic link to {target}, not followed"
    return f"a {kind}, not a regular file"


def _metadata(step: int, found: os.stat_result) -> dict[str, Any]:
    names = _xattrs(step)
    return {
        "kind": _KINDS.get(stat.S_IFMT(found.st_mode), "file"),
        "size": found.st_size,
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "uid": found.st_uid,
        "gid": found.st_gid,
        "owner": _named(lambda: pwd.getpwuid(found.st_uid).pw_name),
        "group": _named(lambda: grp.getgrgid(found.st_gid).gr_name),
        "modified": _time(found.st_mtime_ns),
        "accessed": _time(found.st_atime_ns),
        "changed": _time(found.st_ctime_ns),
        "device": found.st_dev,
        "inode": found.st_ino,
        "links": found.st_nlink,
        "xattrs": names,
        "acl": any(name.startswith("system.posix_acl") for name in names),
    }


def _xattrs(step: int) -> list[str]:
    try:
        names = os.listxattr(f"/proc/self/fd/{step}")
    except OSError:
        return []  # a file system without any, or a file that allows none
    return [printable(name) for name in sorted(names)[:_MAX_XATTRS]]


def _named(look_up: Any) -> str:
    try:
        return printable(look_up())
    except KeyError:
        return ""


def _time(nanoseconds: int) -> str:
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError, OSError):
        return f"{nanoseconds} ns"  # a year that no calendar has: anybody may set a file's times
