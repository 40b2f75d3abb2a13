"""What a host keeps of an incident until the vault has it.

Owns one folder per incident: frozen ring files, full-length captures, event files, and the records that let
a later agent go on where an earlier one was killed. Never starts or ends a process.

    folder = IncidentFolder(root / "inc-1", "inc-1")
    folder.take_packets(sessions)
    folder.write("freeze", freeze)
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, Field

from activities.host.capture import still_runs
from activities.host.ebpf import State
from activities.host.namespaces import Link
from segmentation.workloads import Frozen, Name

Model = TypeVar("Model", bound=BaseModel)
_DOCUMENT, _CAPTURE = ".json", "capture-"
_RING = "ring"
_POLL_SECONDS = 0.2


class RecorderStatus(Frozen):
    """How the recorder is doing."""

    packets: State
    packets_reason: str = ""
    ring_bytes: int = 0
    events: State
    events_reason: str = ""
    events_seen: int = 0
    events_lost: int = 0


class FullCapture(Frozen):
    """A full-length capture that was begun; it ends by itself after `seconds`."""

    file: str
    command: tuple[str, ...]
    pid: int
    start_ticks: int
    begun_at: datetime
    seconds: int
    key: str = ""
    boot_ns: int | None = None
    netns_inode: int = 0
    links: tuple[Link, ...] = ()

    @property
    def running(self) -> bool:
        """Whether its process is still there, whoever started it."""
        return still_runs(self.pid, self.start_ticks)


class Freeze(Frozen):
    """That the rings were closed for an incident, and how the recorder was doing."""

    incident_id: Name
    frozen_at: datetime
    seconds: int
    capture_reasons: dict[str, str] = Field(default={}, description="Why a ring's full-length capture did not begin.")
    boot_id: str = ""
    boot_ns: int | None = None
    status: RecorderStatus
    last_segment: str = ""
    events_command: tuple[str, ...] = ()
    events_missing: str = Field(default="", description="Why the events until the freeze are not among the frozen.")


class IncidentFolder:
    """One incident's folder on the host."""

    def __init__(self, path: Path, incident_id: Name) -> None:
        self.path, self.incident_id = path, incident_id
        self.events_before = path / "events-before.jsonl"
        self.events_after = path / "events-after.jsonl"

    def make(self) -> None:
        """Make sure it exists."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def take_packets(self, sessions: Sequence[Path], key: str = "") -> None:
        """Share the files of ended ring sessions; they outlive the ring's own forgetting."""
        for session in sessions:
            target = self.path / _ring(key) / session.name
            target.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in session.iterdir():
                if not (target / path.name).exists():
                    os.link(path, target / path.name)

    def ring_sessions(self, key: str = "") -> list[Path]:
        """Folders of a ring's sessions that were taken, the oldest first."""
        ring = self.path / _ring(key)
        return sorted(ring.iterdir()) if ring.exists() else []

    def next_capture(self, key: str = "", suffix: str = ".pcapng") -> Path:
        """Where the next full-length capture goes: an agent killed in a freeze may have begun one."""
        name = f"{key}-{_CAPTURE}" if key else _CAPTURE
        begun = len(list(self.path.glob(f"{name}*.pcap*")))
        return self.path / f"{name}{begun + 1:02d}{suffix}"

    def captures(self) -> list[FullCapture]:
        """Full-length captures that are on record."""
        names = sorted(path.stem for path in self.path.glob(f"*{_CAPTURE}[0-9]*{_DOCUMENT}"))
        return [found for name in names if (found := self.read(name, FullCapture))]

    def volatile(self, order_id: str) -> Path:
        """Where the documents of one order of volatile state go; an incident may have several orders."""
        self.make()
        key = hashlib.sha256(order_id.encode()).hexdigest()[:16]
        taken = [path for path in self.path.glob("volatile-*") if path.is_dir()]
        mine = [path for path in taken if path.name.endswith(key)]
        folder = mine[0] if mine else self.path / f"volatile-{len(taken) + 1:02d}-{key}"
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder

    @contextmanager
    def alone(self, name: str, beat: Callable[[], None]) -> Iterator[None]:
        """Hold one of its parts: an attempt whose heartbeat was lost may still be at work when the next one begins."""
        with (self.path / f"{name}.lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    beat()
                    time.sleep(_POLL_SECONDS)
            yield

    def write(self, name: str, document: BaseModel) -> None:
        """Keep a record; whole or not there."""
        target = self.path / f"{name}{_DOCUMENT}"
        draft = target.with_suffix(".draft")
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.write(document.model_dump_json())
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        draft.replace(target)

    def read(self, name: str, kind: type[Model]) -> Model | None:
        """A record, if it was kept."""
        path = self.path / f"{name}{_DOCUMENT}"
        return kind.model_validate_json(path.read_bytes()) if path.exists() else None


def _ring(key: str) -> str:
    return f"{_RING}-{key}" if key else _RING


def forget_old(incidents: Path, horizon: float) -> None:
    """Remove folders of incidents whose last record is older; the vault has had time to take them."""
    for path in incidents.iterdir() if incidents.exists() else ():
        if max((entry.stat().st_mtime for entry in path.iterdir()), default=0) < horizon:
            shutil.rmtree(path)
