"""Long-lived processes of the lab: started so that they can't outlive it, ended for certain.

Owns spawning, their identity (pid and start time) and killing. Never knows what they do.

    processes = Processes(on_spawn=record)
    processes.spawn(["ulogd", "-c", "x.conf"], log=path, namespace="fb-db")
    processes.close()
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lab import namespaces
from lab.errors import LabError
from segmentation.workloads import Frozen

PROJECT_ROOT = Path(__file__).resolve().parent.parent
_WRAPPER = Path(__file__).with_name("exec.py")
_KILL_SECONDS = 5.0
_SESSION_FIELD, _START_TIME_FIELD = 6, 22  # proc(5), stat, counted from 1; the state is 3


class ProcessId(Frozen):
    """A process that can't be mistaken for a later one with the same pid."""

    pid: int
    started: int


@dataclass(frozen=True)
class Spawn:
    """What to start and where. `env` is added to ours; `identity` is what `lab/exec.py` takes on."""

    command: Sequence[str]
    log: Path
    namespace: str | None = None
    identity: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    piped: bool = False
    descriptors: tuple[int, ...] = ()

    def argv(self, parent: int) -> list[str]:
        """The whole command line, from ip(8) to the command itself."""
        enter = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        identity = [f"{key}={value}" for key, value in self.identity.items()]
        wrapper = [sys.executable, "-I", "-S", str(_WRAPPER), str(parent), *identity, "--"]
        return [*enter, *wrapper, *self.command]

    def environment(self) -> dict[str, str]:
        """Ours, with the project importable wherever the command starts."""
        inherited = os.environ.get("PYTHONPATH")
        path = str(PROJECT_ROOT) if not inherited else f"{PROJECT_ROOT}{os.pathsep}{inherited}"
        return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **self.env}


class Processes:
    """The processes of one lab.

    All are started by one thread that lives as long as this object: PR_SET_PDEATHSIG fires when the *thread*
    that forked ends (prctl(2)), so a short-lived caller's thread would take its child with it.
    """

    def __init__(self, on_spawn: Callable[[ProcessId], None]) -> None:
        self._on_spawn = on_spawn
        self._spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lab-spawner")
        self._lock = threading.Lock()
        self._children: list[tuple[subprocess.Popen[bytes], ProcessId]] = []

    def spawn(self, spawn: Spawn) -> subprocess.Popen[bytes]:
        """Start in a session of its own, output appended to the log or, with `piped`, stdout to a pipe."""
        return self._spawner.submit(self._spawn, spawn).result()

    def _spawn(self, spawn: Spawn) -> subprocess.Popen[bytes]:
        spawn.log.parent.mkdir(parents=True, exist_ok=True)
        with spawn.log.open("ab") as log:
            child = subprocess.Popen(
                spawn.argv(os.getpid()),
                stdin=subprocess.PIPE if spawn.piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if spawn.piped else log,
                stderr=log,
                env=spawn.environment(),
                cwd=spawn.cwd,
                pass_fds=spawn.descriptors,
                start_new_session=True,
            )
        process = identify(child.pid)
        with self._lock:
            self._children.append((child, process))
        self._on_spawn(process)
        return child

    def close(self) -> None:
        """Kill every child with its whole session and reap it, then end the spawner."""
        with self._lock:
            children, self._children = self._children, []
        kill_sessions([process for _, process in children])
        for child, _ in children:
            _reap(child)
        self._spawner.shutdown()


def _reap(child: subprocess.Popen[bytes]) -> None:
    child.wait(_KILL_SECONDS)
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def identify(pid: int) -> ProcessId:
    """The process that has this pid now; `started` is 0 when it has already ended."""
    stat = _stat(pid)
    return ProcessId(pid=pid, started=stat.started if stat else 0)


def alive(process: ProcessId) -> bool:
    """Whether this very process still runs."""
    return process.started != 0 and identify(process.pid) == process


@dataclass(frozen=True)
class _Stat:
    session: int
    started: int


def _stat(pid: int) -> _Stat | None:
    """What proc(5) says of a process; None for one that has ended, reaped or not."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command may hold spaces and parentheses: fields are counted from behind its last one.
    fields = line.rpartition(")")[2].split()
    state, session, started = fields[0], fields[_SESSION_FIELD - 3], fields[_START_TIME_FIELD - 3]
    return None if state in "ZX" else _Stat(int(session), int(started))


def session_members(leaders: Iterable[ProcessId]) -> tuple[ProcessId, ...]:
    """Who lives in the sessions that these processes lead or led.

    A pid isn't given away while a session bears it. So a living process with a leader's pid and another start
    time says that the session is over.
    """
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    running = {pid: _stat(pid) for pid in pids}
    sessions = {leader.pid for leader in leaders if _may_lead(leader, running.get(leader.pid))}
    members = ((pid, stat) for pid, stat in running.items() if stat is not None and stat.session in sessions)
    return tuple(ProcessId(pid=pid, started=stat.started) for pid, stat in members)


def _may_lead(leader: ProcessId, found: _Stat | None) -> bool:
    return leader.started != 0 and (found is None or found.started == leader.started)


def kill_sessions(leaders: Iterable[ProcessId]) -> None:
    """Kill whole sessions, again until nobody is left: a process may fork while we kill."""
    known = tuple(leaders)
    while members := session_members(known):
        for member in members:
            kill(member)


def kill(process: ProcessId) -> None:
    """SIGKILL this very process and wait for its end; nothing if it is gone."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if alive(process):  # asked while the handle is held: the pid can't change hands unnoticed
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            _await_end(handle, process)
    finally:
        os.close(handle)


def _await_end(handle: int, process: ProcessId) -> None:
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    if not poller.poll(_KILL_SECONDS * 1000):
        raise LabError(
            f"process {process.pid} of the lab did not end within {_KILL_SECONDS:g} s of SIGKILL",
            hint=f"See /proc/{process.pid}/stack; it hangs in the kernel.",
        )


def kill_inside(namespace: str) -> None:
    """Kill everything in a namespace, again until nobody is left: a process may fork while we kill."""
    while inside := [pid for pid in namespaces.pids(namespace) if pid != os.getpid()]:
        for pid in inside:
            kill(identify(pid))
