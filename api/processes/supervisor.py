"""Child processes of one node: started, watched, restarted, ended with their parent.

Owns the life of children. A child never outlives its parent, even after kill -9 (PR_SET_PDEATHSIG). Knows nothing of
what they do.

    supervisor = Supervisor(log_dir)
    supervisor.start(Program("worker", [...]))
    await supervisor.watch()          # until stop()
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)
PR_SET_PDEATHSIG = 1  # prctl(2)
SHORTEST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
# The workflow sandbox reads modules anew for every run: without cached bytecode it would compile them each time.
CACHED_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}


@dataclass(frozen=True)
class Program:
    """A command to keep running."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)


def die_with_parent() -> Callable[[], None]:
    """A preexec function: SIGKILL when the parent dies.

    libc is loaded here, in the parent: a fork of a threaded process must not import or allocate much.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def arm() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the line above
            os._exit(1)

    return arm


class Supervisor:
    """Runs programs until it is stopped; one that ends by itself is started again, slower each time."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._log_dir.mkdir(parents=True, exist_ok=True)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    async def start(self, program: Program) -> None:
        """Start a program and keep it running."""
        self._spawn(program)
        self._watchers.append(asyncio.create_task(self._watch(program)))

    def pids(self) -> dict[str, int]:
        """Process ids by program name."""
        return {name: child.pid for name, child in self._children.items()}

    async def stop(self, patience: float = 5.0) -> None:
        """End all: the last started first, by SIGTERM, by SIGKILL if that takes longer than `patience` seconds."""
        self._stopping.set()
        for name, child in reversed(self._children.items()):
            child.terminate()
            try:
                await asyncio.to_thread(child.wait, patience)
            except subprocess.TimeoutExpired:
                log.warning("program did not stop in time", program=name)
                child.kill()
                await asyncio.to_thread(child.wait)
        for watcher in self._watchers:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher

    def log_file(self, name: str) -> Path:
        """Where a program's output goes."""
        return self._log_dir / f"{name}.log"

    def _spawn(self, program: Program) -> None:
        with self.log_file(program.name).open("ab") as output:
            self._children[program.name] = subprocess.Popen(
                program.command,
                env=os.environ | CACHED_BYTECODE | program.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the parent alone, which stops them in order
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - see there
            )

    async def _watch(self, program: Program) -> None:
        pause = SHORTEST_PAUSE
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            code = await asyncio.to_thread(self._children[program.name].wait)
            if self._stopping.is_set():
                return
            log.warning("program ended, starting it again", program=program.name, exit_code=code)
            lived_long = loop.time() - started > LONGEST_PAUSE
            pause = SHORTEST_PAUSE if lived_long else min(pause * 2, LONGEST_PAUSE)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
                return
            try:
                self._spawn(program)
            except OSError as error:  # no memory, no process to be had: the next turn tries again
                log.warning("program could not be started", program=program.name, error=str(error))


def firebreak(*arguments: str) -> list[str]:
    """The command line of another process of this product, by the same interpreter."""
    return [sys.executable, "-m", "api.cli.main", *arguments]
