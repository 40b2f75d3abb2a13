"""What a platform's worker keeps of an order until the vault has it.

Owns one folder for each order: readings that are complete, each with its bytes, so that a retry or a later worker hands
over the very same; and in the end the result alone. Never asks a platform for anything.

    folder = OrderFolder(root, order)
    with folder.alone(beat):
        folder.keep("cloudtrail", reading, content)
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from activities.contracts.evidence import Acquisition, EvidenceKind, FileName, Outcome
from activities.contracts.platform_evidence import CollectPlatformOrder, PlatformCollected, PodsOfNode
from playbooks.canonical import canonical
from segmentation.workloads import Frozen

KEPT_SECONDS = 7 * 24 * 3600
_RESULT, _READING, _BODY, _DONE = "result.json", ".reading", ".body", ".done"
Model = TypeVar("Model", bound=BaseModel)


class Reading(Frozen):
    """One thing that a collector found, or why it is not there."""

    collector: str
    place: int
    label: str
    name: FileName
    kind: EvidenceKind
    media_type: str
    outcome: Outcome
    acquisition: Acquisition
    rank: int
    has_body: bool = False
    nodes: tuple[PodsOfNode, ...] = ()


class OrderFolder:
    """One order's folder; safe for the threads of one process, and held by one process at a time."""

    def __init__(self, root: Path, order: CollectPlatformOrder) -> None:
        self.key = hashlib.sha256(canonical(order)).hexdigest()[:12]
        self._path = root / order.incident_id / self.key
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._closed = False

    @contextlib.contextmanager
    def alone(self, beat: Callable[[], None]) -> Iterator[None]:
        """Hold the folder: an attempt whose heartbeat was lost may still be at work when the next one begins."""
        with (self._path / "lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    beat()
                    time.sleep(0.2)
            yield

    def result(self) -> PlatformCollected | None:
        """What was handed over, if it was already."""
        return self._read(_RESULT, PlatformCollected)

    def finish(self, result: PlatformCollected) -> None:
        """Remember what was handed over; the bytes are the vault's from now on."""
        self._write(_RESULT, result.model_dump_json().encode())
        for path in self._path.iterdir():
            if path.suffix in {_READING, _BODY, _DONE}:
                path.unlink()

    def keep(self, reading: Reading, content: bytes | None) -> None:
        """Keep a reading; one of the same label that is there already stays."""
        with self._lock:
            if self._closed or self.is_kept(reading.label):
                return
            if content is not None:
                self._write(_named(reading.label, _BODY), content)
            kept = reading.model_copy(update={"has_body": content is not None})
            self._write(_named(reading.label, _READING), kept.model_dump_json().encode())

    def close(self) -> None:
        """Take nothing more: a collector that overran its time must not add to what is handed over."""
        with self._lock:
            self._closed = True

    def is_kept(self, label: str) -> bool:
        """Whether there is a reading of this label."""
        return (self._path / _named(label, _READING)).exists()

    def is_done(self, collector: str) -> bool:
        """Whether a collector came to its end."""
        return (self._path / _named(collector, _DONE)).exists()

    def set_done(self, collector: str) -> None:
        """Note that a collector came to its end."""
        with self._lock:
            if not self._closed:
                self._write(_named(collector, _DONE), b"")

    def readings(self) -> list[Reading]:
        """Every reading, most volatile first, each collector's in the order in which it gave them."""
        found = [Reading.model_validate_json(path.read_bytes()) for path in self._path.glob(f"*{_READING}")]
        return sorted(found, key=lambda one: (one.rank, one.collector, one.place, one.label))

    def body(self, label: str) -> Path:
        """Where the bytes of a reading are."""
        return self._path / _named(label, _BODY)

    def _read(self, name: str, kind: type[Model]) -> Model | None:
        path = self._path / name
        return kind.model_validate_json(path.read_bytes()) if path.exists() else None

    def _write(self, name: str, content: bytes) -> None:
        draft = self._path / f"{name}.draft"
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path / name)


def _named(label: str, suffix: str) -> str:
    """A label holds names of other people's choosing: its digest is one file name, whatever it is."""
    return hashlib.sha256(label.encode()).hexdigest()[:32] + suffix


def forget_old(root: Path, now: float) -> None:
    """Remove orders that nobody has touched for a week; the vault has had time to take them."""
    for path in root.glob("*/*"):
        if now - path.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(path)
