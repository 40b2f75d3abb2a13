"""Confining the process that reads what nobody vouches for.

Owns the order: cut off from the network first, and read back that it is; then no rights, no new ones, no files, no
children, little memory and little time. Called before a single byte is read. Never undone: the process ends instead.

Source: unshare(2), user_namespaces(7), prctl(2), capset(2), getrlimit(2).
"""

import ctypes
import os
import resource
from pathlib import Path

from activities.evidence.preview.errors import PreviewUnconfined

CPU_SECONDS = 40
MEMORY_BYTES = 512 << 20
NOBODY = 65534
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_GET_NO_NEW_PRIVS = 4, 38, 39
_CAPABILITY_VERSION_3 = 0x20080522
_STANDARD_STREAMS = 3
_NETWORK = Path("/proc/self/ns/net")
_libc = ctypes.CDLL(None, use_errno=True)


def confine() -> None:
    """Give up the network and every right.

    Raises:
        PreviewUnconfined: the kernel does not let it; nothing must be read then.
    """
    _leave_network()
    _drop_rights()
    _limit()


def _leave_network() -> None:
    before = _NETWORK.readlink()
    # As root the network's namespace alone: a user namespace would hide that the files of others are not ours.
    flags = _CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWUSER | _CLONE_NEWNET
    _call("unshare", flags)
    if _NETWORK.readlink() == before:
        raise PreviewUnconfined("The process is still in the network it came from.", hint=_HINT)


def _drop_rights() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _call("capset", header, (ctypes.c_uint32 * 6)())
    _call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _libc.prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        raise PreviewUnconfined("The process could still gain rights.", hint=_HINT)


def _limit() -> None:
    """What a process may use. Without a free descriptor it can't open a file or make a socket of any kind."""
    for what, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _STANDARD_STREAMS),
    ):
        resource.setrlimit(what, (most, most))


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        why = os.strerror(ctypes.get_errno())
        raise PreviewUnconfined(f"{name}: {why}. The process can't be confined on this machine.", hint=_HINT)


_HINT = "Run the API as root, or let it make user namespaces (sysctl kernel.unprivileged_userns_clone)."
