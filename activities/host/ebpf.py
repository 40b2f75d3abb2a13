"""bpftrace: connections, attempts, executions, denials and DNS of this host's network namespace, as they happen.

Owns the process and the reading of its output; which programs it runs is chosen by `ebpf_programs`. Needs CAP_BPF,
CAP_PERFMON and tracefs at /sys/kernel/tracing. A host without them goes on without events, and says why.

    events = KernelEvents(folder, on_documents=ring.append)
    events.start()
    events.state, events.reason     # -> "running", ""

From its end on, or that of whoever reads it, nothing is told any more: the last that is told is an event `stopped`.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.resources.abc import Traversable
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal, cast

import structlog

from activities.host.clock import boot_ns as booted_ns
from activities.host.drop_reasons import POLICIES, drop_reasons
from activities.host.ebpf_programs import SHIPPED, Programs, complaint
from activities.host.kernel_events import is_attaching, parse
from activities.host.observe import own_netns
from activities.host.rehearsal import Rehearsal

PERMISSIONS = ("CAP_BPF", "CAP_PERFMON", "CAP_DAC_READ_SEARCH", "CAP_SYS_NICE")
State = Literal["off", "starting", "running", "failed"]
Document = dict[str, Any]
_LONGEST_NAME = 128
_READ_BYTES = 1 << 16
_BATCH_SECONDS, _REHEARSAL_SECONDS = 0.02, 0.05
# It takes a third of a second on an idle host.
_REHEARSED_WITHIN_SECONDS = 60.0
log = structlog.get_logger(__name__)


class KernelEvents:
    """One bpftrace with every program that this kernel takes. `start` and `stop` belong to one thread."""

    def __init__(
        self,
        folder: Path,
        on_documents: Callable[[Sequence[Document]], None],
        sources: Traversable = SHIPPED,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._on_documents, self._programs = folder, on_documents, Programs(sources)
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._ready, self._ending = threading.Event(), threading.Event()
        self._problem = ""
        self._reasons: dict[int, str] = {}
        self.command: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """Whether events arrive."""
        if self._process is None:
            return "failed" if self._problem else "off"
        if self._problem or self._process.poll() is not None or not self._is_read():
            return "failed"
        return "running" if self._ready.is_set() else "starting"

    @property
    def reason(self) -> str:
        """Why it failed, or what is left out."""
        if self._problem:
            return self._problem
        if self._process is not None and self._process.poll() is not None:
            return self._complaint()
        return self._programs.reason

    @property
    def programs(self) -> tuple[str, ...]:
        """Names of those that run."""
        return self._programs.chosen

    def start(self) -> None:
        """Start it; `state` tells when it is ready, after about two seconds of compiling."""
        self._reasons = drop_reasons()
        self._programs.want_denials(named=bool(self._reasons))
        self._ready.clear()
        self._ending.clear()
        self._problem = ""
        self._tell("starting")
        try:
            self._spawn()
        except (OSError, RuntimeError) as error:  # RuntimeError: no thread to be had
            self._problem = f"bpftrace can't be started: {error}"

    def stop(self) -> None:
        """End it; what it has seen is read first."""
        self._ending.set()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        self._reap(timeout=5.0)

    def retry(self) -> None:
        """Start it again after it failed, without the program that may be why."""
        if self._was_refused():
            self._programs.leave_out(self._complaint())
        self._ending.set()
        self._reap(timeout=1.0)
        self.start()

    def wait_until_running(self, timeout: float) -> bool:
        """Whether every probe is attached."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.state == "starting":
            self._ready.wait(0.05)
        return self.state == "running"

    def _is_read(self) -> bool:
        return self._reader is not None and self._reader.is_alive()

    def _was_refused(self) -> bool:
        """Whether it ended by itself before it told anything: not if it was killed, or we did not read on."""
        status = self._process.poll() if self._process is not None else None
        return status is not None and status > 0 and not self._problem and not self._ready.is_set()

    def _spawn(self) -> None:
        program = self._folder / "program.bt"
        self._programs.write(program)
        numbers = [str(number) for number in self._reasons] + ["0"] * (len(POLICIES) - len(self._reasons))
        bpftrace = ("bpftrace", "-f", "json", str(program), str(own_netns()), *numbers)
        # Compiling takes a second of CPU: everything else on this host goes first.
        self.command = ("nice", "-n", "10", "setpriv", "--pdeathsig", "KILL", "--", *bpftrace)
        rehearsal = Rehearsal(self._folder, _LONGEST_NAME)
        try:
            process = self._popen()
        except OSError:
            rehearsal.close()
            raise
        reader = threading.Thread(target=self._read, args=(process, rehearsal), name="bpftrace", daemon=True)
        try:
            reader.start()
        except RuntimeError:
            process.kill()
            process.wait()
            rehearsal.close()
            raise
        self._reader, self._process = reader, process

    def _popen(self) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as stderr:
            return subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=os.environ | {"BPFTRACE_STRLEN": str(_LONGEST_NAME)},
                start_new_session=True,
            )

    def _read(self, process: subprocess.Popen[bytes], rehearsal: Rehearsal) -> None:
        """Until it ends. That it is not read any more ends it too: nobody must take it for a witness."""
        problem = ""
        try:
            with contextlib.closing(rehearsal):
                self._read_all(process, rehearsal)
        except Exception as error:
            problem = f"what bpftrace tells could not be read on: {type(error).__name__}: {error}"
            log.exception("the reader of kernel events failed")
        if self._ending.is_set():
            return
        # Whoever could not take the last events may not take this one either; the next start says it as well.
        with contextlib.suppress(Exception):
            self._tell("stopped", reason=problem or "bpftrace ended")
        self._problem = self._problem or problem
        process.kill()

    def _read_all(self, process: subprocess.Popen[bytes], rehearsal: Rehearsal) -> None:
        output, rest = cast("BufferedReader", process.stdout), b""
        while chunk := output.read1(_READ_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            boot_ns = booted_ns()
            if any(map(is_attaching, lines)):
                arguments = (process, rehearsal)
                threading.Thread(target=self._rehearse, args=arguments, name="rehearsal", daemon=True).start()
            documents = [self._named(document) for line in lines if line and (document := parse(line, boot_ns))]
            if not self._ready.is_set():
                documents = [document for document in documents if not rehearsal.witness(document)]
            if documents:
                self._on_documents(documents)
            # bpftrace writes line by line: to be woken for each would cost more than to read it.
            time.sleep(_BATCH_SECONDS)

    def _rehearse(self, process: subprocess.Popen[bytes], rehearsal: Rehearsal) -> None:
        """Compiled: from here on it must keep up with a busy host. Then prove that it sees what happens."""
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, 0)
        until = time.monotonic() + _REHEARSED_WITHIN_SECONDS
        while process.poll() is None and not rehearsal.done and time.monotonic() < until:
            rehearsal.perform()
            time.sleep(_REHEARSAL_SECONDS)
        rehearsal.close()
        if rehearsal.done:
            self._tell("recording")
            self._ready.set()
        elif process.poll() is None:
            self._problem = "bpftrace runs and told nothing of what we did to try it"
            process.kill()

    def _tell(self, event: str, **more: str) -> None:
        """A mark between events: from when on they are told, or not."""
        self._on_documents([{"at": _now(), "event": event, "programs": list(self.programs), **more}])

    def _named(self, document: Document) -> Document:
        if document["event"] == "denial":
            document["reason"] = self._reasons.get(document["reason"], str(document["reason"]))
        elif document["event"] == "lost":
            # bpftrace does not say when: after the line before, and before now.
            document["at"] = _now()
        return document

    def _reap(self, timeout: float) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._reader is not None:
            self._reader.join(timeout)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    @property
    def _log(self) -> Path:
        return self._folder / "bpftrace.log"

    def _complaint(self) -> str:
        return complaint(self._log)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
