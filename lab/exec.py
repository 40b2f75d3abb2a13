"""The last step before a process of the lab becomes what it is. Run by path, under `ip netns exec`.

Owns what must be true of every such process: it dies with the process that asked for it, and it sees its own
hostname, machine id and tracing file systems. Never imports the rest of the lab: it starts often and must
be quick.

    python -I -S lab/exec.py PARENT_PID hostname=web machine-id=/state/web/machine-id -- COMMAND ARGUMENT...

ip(8) has already made the mount namespace private and mounted a fresh /sys over the machine's, so what is
mounted here ends with the process. Linux only: prctl(2), unshare(2), mount(2).
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUTS = 0x04000000
_MS_BIND = 4096
_TRACING = (("tracefs", "/sys/kernel/tracing"), ("debugfs", "/sys/kernel/debug"))
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, doing: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{doing}: {os.strerror(error)}")


def _die_with(parent: int) -> None:
    """SIGKILL when the parent ends; the second look closes the race with one that ended before the call."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit(f"parent {parent} is gone")


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    result = _libc.mount(source.encode(), target.encode(), kind.encode(), flags, None)
    _check(result, f"mount {source} on {target}")


def _mount_tracing() -> None:
    """Tracing serves bpftrace alone, so a kernel that keeps it away from us is reported, not fatal."""
    for kind, target in _TRACING:
        try:
            _mount(kind, target, kind, 0)
        except OSError as error:
            print(f"no tracing in this host: {error}", file=sys.stderr, flush=True)  # noqa: T201  its log


def _become(options: dict[str, str]) -> None:
    """Take on the host's identity inside the namespaces of this process."""
    _check(_libc.unshare(_CLONE_NEWUTS), "unshare(CLONE_NEWUTS)")
    name = options["hostname"].encode()
    _check(_libc.sethostname(name, len(name)), "sethostname")
    if os.path.exists("/etc/machine-id"):  # noqa: PTH110  pathlib would double the start time
        _mount(options["machine-id"], "/etc/machine-id", "none", _MS_BIND)
    _mount_tracing()


def main(arguments: list[str]) -> None:
    """Prepare, then become the command."""
    split = arguments.index("--")
    parent, *pairs = arguments[:split]
    command = arguments[split + 1 :]
    _die_with(int(parent))
    if pairs:
        _become(dict(pair.split("=", 1) for pair in pairs))
    try:
        os.execvp(command[0], command)  # noqa: S606  no shell on purpose
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
