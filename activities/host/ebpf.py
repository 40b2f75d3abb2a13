"""bpftrace: connections, attempts, executions, denials and DNS of this host's network namespace, as they happen.

Owns the process, the choice of programs and the reading of its output. Programs are fixed files in
`bpftrace/`; nothing that an order says becomes code. Needs CAP_BPF, CAP_PERFMON and tracefs at
/sys/kernel/tracing. A host without them goes on without events, and says why.

    events = KernelEvents(folder, on_documents=ring.append)
    events.start()
    events.state, events.reason     # -> "running", ""
"""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal, cast

from activities.host.clock import boot_ns as booted_ns
from activities.host.drop_reasons import POLICIES, drop_reasons
from activities.host.kernel_events import is_attaching, parse
from activities.host.observe import own_netns
from activities.host.rehearsal import Rehearsal

PERMISSIONS = ("CAP_BPF", "CAP_PERFMON", "CAP_DAC_READ_SEARCH", "CAP_SYS_NICE")
State = Literal["off", "starting", "running", "failed"]
Document = dict[str, Any]
# First and last are what the rehearsal sees, so that whatever is between them is attached too.
_FIRST, _LAST = "connections", "executions"
_OPTIONAL = ("attempts", "dns", "denials")
# bpftrace 0.17 always tries to raise this limit and complains where it can't; BPF memory has not counted
# against it since Linux 5.11.
_HARMLESS = re.compile(r"RLIMIT_MEMLOCK")
# As in `program.bt:12:3-9: ERROR: ...`, or `program.bt:1-12: ERROR: ...` for what it finds missing in the last.
_PLACE = re.compile(r"program\.bt:(?:\d+-)?(\d+)")
_PROGRAMS = files("activities.host").joinpath("bpftrace")
_LONGEST_NAME = 128
_READ_BYTES = 1 << 16
_BATCH_SECONDS, _REHEARSAL_SECONDS = 0.02, 0.05


class KernelEvents:
    """One bpftrace with every program that this kernel takes. `start` and `stop` belong to one thread."""

    def __init__(
        self,
        folder: Path,
        on_documents: Callable[[Sequence[Document]], None],
        sources: Traversable = _PROGRAMS,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._on_documents, self._sources = folder, on_documents, sources
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._ready = threading.Event()
        self._problem = ""
        self._left_out: dict[str, str] = {}
        self._reasons: dict[int, str] = {}
        self._begins: dict[str, int] = {}
        self.command: tuple[str, ...] = ()
        self.programs: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """Whether events arrive."""
        if self._process is None:
            return "failed" if self._problem else "off"
        if self._process.poll() is not None:
            return "failed"
        return "running" if self._ready.is_set() else "starting"

    @property
    def reason(self) -> str:
        """Why it failed, or what is left out."""
        if self._process is not None and self._process.poll() is not None:
            return self._complaint()
        return self._problem or "; ".join(f"{name} left out: {why}" for name, why in self._left_out.items())

    def start(self) -> None:
        """Start it; `state` tells when it is ready, after about two seconds of compiling."""
        self._reasons = drop_reasons()
        if not self._reasons:
            self._left_out.setdefault("denials", "the kernel names no reason for which it drops packets")
        self.programs = (_FIRST, *(name for name in _OPTIONAL if name not in self._left_out), _LAST)
        self._ready.clear()
        self._problem = ""
        self._tell("starting")
        try:
            self._spawn()
        except OSError as error:
            self._process, self._problem = None, f"bpftrace can't be started: {error}"

    def stop(self) -> None:
        """End it; what it has seen is read first."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        self._reap(timeout=5.0)

    def retry(self) -> None:
        """Start it again after it failed, without the program that may be why."""
        # A kernel whose packets look different fails one of them and with it the whole: once more without.
        optional = [name for name in self.programs if name in _OPTIONAL]
        if not self._ready.is_set() and optional:
            blamed = self._blamed()
            self._left_out[blamed if blamed in optional else optional[-1]] = self._complaint()
        self._reap(timeout=1.0)
        self.start()

    def wait_until_running(self, timeout: float) -> bool:
        """Whether every probe is attached."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.state == "starting":
            self._ready.wait(0.05)
        return self.state == "running"

    def _spawn(self) -> None:
        program = self._folder / "program.bt"
        lines: list[str] = []
        for name in self.programs:
            self._begins[name] = len(lines) + 1
            lines += self._sources.joinpath(f"{name}.bt").read_text().split("\n")
        program.write_text("\n".join(lines), encoding="utf-8")
        numbers = [str(number) for number in self._reasons] + ["0"] * (len(POLICIES) - len(self._reasons))
        bpftrace = ("bpftrace", "-f", "json", str(program), str(own_netns()), *numbers)
        # Compiling takes a second of CPU: everything else on this host goes first.
        self.command = ("nice", "-n", "10", "setpriv", "--pdeathsig", "KILL", "--", *bpftrace)
        rehearsal = Rehearsal(self._folder, _LONGEST_NAME)
        try:
            self._process = self._popen()
        except OSError:
            rehearsal.close()
            raise
        self._reader = threading.Thread(
            target=self._read, args=(self._process, rehearsal), name="bpftrace", daemon=True
        )
        self._reader.start()

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
        with contextlib.closing(rehearsal):
            self._read_all(process, rehearsal)

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
        while process.poll() is None and not rehearsal.done:
            rehearsal.perform()
            time.sleep(_REHEARSAL_SECONDS)
        rehearsal.close()
        if rehearsal.done:
            self._tell("recording")
            self._ready.set()

    def _tell(self, event: str) -> None:
        """A mark between events: from when on they are told, or not."""
        self._on_documents([{"at": _now(), "event": event, "programs": list(self.programs)}])

    def _named(self, document: Document) -> Document:
        if document["event"] == "denial":
            document["reason"] = self._reasons.get(document["reason"], str(document["reason"]))
        elif document["event"] == "lost":
            # bpftrace does not say when: after the line before, and before now.
            document["at"] = _now()
        return document

    def _blamed(self) -> str:
        """The program in whose lines bpftrace found a mistake; empty where it names none."""
        found = _PLACE.search(self._complaint())
        line = int(found[1]) if found else 0
        return next((name for name, first in reversed(self._begins.items()) if line >= first), "")

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
        if not self._log.exists():
            return ""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line.strip() for line in lines if "error" in line.lower() and not _HARMLESS.search(line)]
        return said[0][:300] if said else "bpftrace ended without a word"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
