"""What a lab leaves on the machine while it lives, written down where a later one finds it.

Owns /run/firebreak-lab/<name>.json and the lock beside it. Never kills or removes anything: `lab.teardown`
does.

    lock = LabLock("fb")
    registry = Registry("fb"); registry.begin(...); registry.add(process); forget("fb"); lock.release()
"""

import fcntl
import os
import threading
from pathlib import Path

from pydantic import ValidationError

from lab.errors import LabBusyError, LabError
from lab.processes import ProcessId, identify
from segmentation.workloads import Frozen

RUN_DIR = Path("/run/firebreak-lab")


class LabRecord(Frozen):
    """What belongs to a lab. `mounted_run_dir`: it brought about the machine's /run/netns mount."""

    name: str
    boot_id: str
    owner: ProcessId
    mounted_run_dir: bool
    processes: tuple[ProcessId, ...] = ()


class LabLock:
    """The exclusive right to a lab's name; it ends with this process, however that ends."""

    def __init__(self, name: str) -> None:
        RUN_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = RUN_DIR / f"{name}.lock"
        self._descriptor = self._acquire(name)

    def _acquire(self, name: str) -> int:
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise LabBusyError(
                    f"the lab {name!r} is in use by another process",
                    hint="Wait for it to end, or give this one another name.",
                ) from None
            if self._still_named(descriptor):
                return descriptor
            os.close(descriptor)  # its last holder removed the file after we opened it

    def _still_named(self, descriptor: int) -> bool:
        try:
            return os.fstat(descriptor).st_ino == self.path.stat().st_ino
        except FileNotFoundError:
            return False

    @property
    def held(self) -> bool:
        """Whether the name is still ours."""
        return self._descriptor >= 0

    def release(self) -> None:
        """Remove the file while it is still held, then let go."""
        if self.held:
            self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1


class Registry:
    """The record of one lab, kept up to date as processes start."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._record: LabRecord | None = None

    def begin(self, *, mounted_run_dir: bool) -> None:
        """Write the first record, before anything it will name is made."""
        owner = identify(os.getpid())
        record = LabRecord(name=self._name, boot_id=_boot_id(), owner=owner, mounted_run_dir=mounted_run_dir)
        self._write(record)

    def add(self, process: ProcessId) -> None:
        """Note a process that was started."""
        with self._lock:
            if self._record is None:
                raise LabError(f"the lab {self._name!r} starts a process before it is on record")
            processes = (*self._record.processes, process)
            self._write(self._record.model_copy(update={"processes": processes}))

    def _write(self, record: LabRecord) -> None:
        path = _path(record.name)
        draft = path.with_suffix(".draft")
        draft.write_text(record.model_dump_json(), encoding="utf-8")
        draft.replace(path)
        self._record = record


def _path(name: str) -> Path:
    return RUN_DIR / f"{name}.json"


def _boot_id() -> str:
    """What tells one boot of the machine from another: a pid means nothing beyond it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def read(name: str) -> LabRecord | None:
    """The record a living or a crashed lab of this name left; None when there is none."""
    try:
        record = LabRecord.model_validate_json(_path(name).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        # Of another version's record only the names matter, and those follow from the lab's own name.
        return None
    return record if record.boot_id == _boot_id() else record.model_copy(update={"processes": ()})


def forget(name: str) -> None:
    """Remove the record, once nothing it names exists any more."""
    _path(name).unlink(missing_ok=True)
    _path(name).with_suffix(".draft").unlink(missing_ok=True)
