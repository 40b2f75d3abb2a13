"""Network namespaces of this host: ours, and those of its containers.

Owns finding one by what people know of it, looking into it, and the command that runs something there. A process that
is started in a namespace keeps it alive: whoever does that has to look whether its owner is still there.

    place = look("pid:4711", ("eth0",))
    place.inode, place.present, place.absent
    place.command(("dumpcap", "-i", "eth0"))    # -> ("nsenter", "--net=/proc/4711/ns/net", "--", "dumpcap", ...)
"""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from activities.host.interfaces import read_interfaces
from activities.host.observe import own_netns
from segmentation.errors import FirebreakError
from segmentation.workloads import Frozen

# Only where the settings name namespaces: deploy/systemd/firebreak-agent.service.d/namespaces.conf gives them.
NAMESPACE_PERMISSIONS = ("CAP_SYS_ADMIN", "CAP_SYS_PTRACE")
_CLONE_NEWNET = 0x40000000
_NAMED = Path("/run/netns")
_PROC = Path("/proc")
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)
T = TypeVar("T")


class NamespaceUnknown(FirebreakError):
    """There is no such network namespace (any more)."""

    code: ClassVar[str] = "namespace-unknown"


class Link(Frozen):
    """What tells an interface from one of the same name that came later."""

    name: str
    ifindex: int
    mac: str = ""


@dataclass(frozen=True)
class Place:
    """A namespace as it is now. `path` is empty for ours; `absent` are interfaces that are wanted and not there."""

    path: str
    inode: int
    present: tuple[Link, ...]
    absent: tuple[str, ...]

    def command(self, command: tuple[str, ...]) -> tuple[str, ...]:
        """The command, to be run in there."""
        return ("nsenter", f"--net={self.path}", "--", *command) if self.path else command


def look(named: str, wanted: tuple[str, ...]) -> Place:
    """Which of the wanted interfaces are there; none wanted: every one but the loopback.

    `named`: empty for the calling thread's own, `pid:N`, `inode:N`, or an absolute path.

    Raises:
        NamespaceUnknown: nothing answers to that.
    """
    if not named:
        return _place("", own_netns(), _links(), wanted)
    path = _path(named)
    try:
        inode, links = inside(path, lambda: (own_netns(), _links()))
    except OSError as error:
        raise NamespaceUnknown(
            f"The network namespace {named} can't be entered: {error}.", hint="Is its container still there?"
        ) from error
    return _place(path, inode, links, wanted)


def inside(path: str, function: Callable[[], T]) -> T:
    """Call in a thread that has moved there; setns(2) moves that one thread, which ends with the call."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(_enter_and_call, path, function).result()


def _enter_and_call(path: str, function: Callable[[], T]) -> T:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), path)
    finally:
        os.close(descriptor)
    return function()


def _links() -> tuple[Link, ...]:
    return tuple(Link(name=i.name, ifindex=i.ifindex, mac=i.mac) for i in read_interfaces())


def _place(path: str, inode: int, links: tuple[Link, ...], wanted: tuple[str, ...]) -> Place:
    names = wanted or tuple(link.name for link in links if link.name != "lo")
    present = tuple(link for name in names for link in links if link.name == name)
    return Place(path, inode, present, tuple(name for name in names if name not in {link.name for link in present}))


def _path(named: str) -> str:
    kind, _, value = named.partition(":")
    if named.startswith("/"):
        return named
    if kind == "pid" and value.isdigit():
        return str(_PROC / value / "ns" / "net")
    if kind == "inode" and value.isdigit():
        return _by_inode(int(value))
    raise NamespaceUnknown(
        f"{named!r} names no network namespace.", hint="Expected pid:NUMBER, inode:NUMBER or an absolute path."
    )


def _by_inode(inode: int) -> str:
    named = sorted(_NAMED.iterdir()) if _NAMED.is_dir() else []
    processes = (path / "ns" / "net" for path in _PROC.iterdir() if path.name.isdigit())
    for path in (*named, *processes):
        try:
            if path.stat().st_ino == inode:
                return str(path)
        except _GONE:
            continue
    raise NamespaceUnknown(
        f"No process and no name holds the network namespace with inode {inode}.", hint="lsns -t net lists them."
    )
