"""Chosen files, the journal and memory: collections whose content is an item beside their document.

Owns what each brings, how much of it at most, and that a part that an earlier agent finished is not read again: its
note, written last, says so. Names in the vault are ours; what the host calls a thing stands in the document.

    for part in read_files(order, work):
        part.name, part.path, part.outcome, part.entry
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from activities.contracts.collecting import CollectVolatileOrder
from activities.contracts.evidence import EvidenceKind, Outcome
from activities.contracts.host import ProcessRef
from activities.host.executable_digests import Digests, HashLimits
from activities.host.opening import NotAFile, opened
from activities.host.processes import MAX_PATH, printable
from activities.host.spool import CHUNK_BYTES, Spooled, spool, spool_output
from activities.host.volatile_memory import choose, dump
from segmentation.bounds import cut
from segmentation.workloads import Frozen

OCTETS_MEDIA_TYPE = "application/octet-stream"
# systemd.io/JOURNAL_EXPORT_FORMATS
JOURNAL_MEDIA_TYPE = "application/vnd.fdo.journal"
_MAX_FILES = 64


class ContentLimits(Frozen):
    """How much a collection takes at most."""

    file_max_bytes: int = 1 << 30
    journal_max_bytes: int = 64 << 20
    journal_seconds: int = 86_400
    hashes: HashLimits = HashLimits()


@dataclass(frozen=True)
class Work:
    """Where a collection works, until when, and how it says that it still does."""

    folder: Path
    deadline: float
    limits: ContentLimits
    beat: Callable[[], None]
    digests: Digests

    def share(self) -> float:
        """A deadline that leaves as much time to those who come after."""
        now = time.monotonic()
        return now + max(0.0, self.deadline - now) / 2


@dataclass(frozen=True)
class Part:
    """One piece of content: kept in a file, or absent with its reason. `entry` is what the document says of it."""

    name: str
    kind: EvidenceKind
    media_type: str
    outcome: Outcome
    started: str
    ended: str
    path: Path | None = None
    command: tuple[str, ...] = ()
    exit_status: int | None = None
    entry: dict[str, Any] = field(default_factory=dict)


def read_files(order: CollectVolatileOrder, work: Work) -> Iterator[Part]:
    """Each file of the order; at most 64."""
    for number, path in enumerate(order.files[:_MAX_FILES], 1):
        name = f"file-{number:02d}"
        yield _once(work, name, partial(_file, path, name, work))


def read_journal(_order: CollectVolatileOrder, work: Work) -> Iterator[Part]:
    """The journal's newest entries first, so that a bound costs the oldest."""
    yield _once(work, "journal", lambda: _journal(work))


def read_memory(order: CollectVolatileOrder, work: Work) -> Iterator[Part]:
    """Memory of each chosen process. The choice is kept: a later agent goes on with the same."""
    share = work.share()
    for ref in _chosen(order, work):
        name = f"memory-{ref.pid}"
        yield _once(work, name, partial(_memory, ref, name, order.memory_max_mib << 20, work, share))


def _once(work: Work, name: str, read: Callable[[], Part]) -> Part:
    """The part as its note has it, or read now."""
    note = work.folder / f"{name}.note.json"
    if note.exists():
        return _noted(json.loads(note.read_bytes()), work.folder)
    work.beat()
    if time.monotonic() >= work.deadline:
        now = _now()
        spent = Outcome(state="missing", reason="the time budget was spent before its turn")
        return Part(name, "files", OCTETS_MEDIA_TYPE, spent, now, now)
    part = read()
    # An outcome without content is not final: the next try may find better.
    if part.path is not None:
        write_json(note, _note(part))
    return part


def _file(path: str, name: str, work: Work) -> Part:
    target, started = work.folder / name, _now()
    entry: dict[str, Any] = {"path": printable(path, MAX_PATH), "path_octets": os.fsencode(path).hex()}
    try:
        with opened(path) as file:
            spooled = spool(_contents(file.descriptor, work), target, work.limits.file_max_bytes, work.deadline)
            entry |= {**file.metadata, "via": file.via}
            outcome = _file_outcome(spooled, file.via, file.metadata["size"])
    except NotAFile as error:
        return _absent(name, "files", started, error.summary, entry | error.metadata)
    except FileNotFoundError:
        return _absent(name, "files", started, "there is no such file", entry)
    except (OSError, ValueError) as error:  # ValueError: octets that no name can have
        return _absent(name, "files", started, str(error), entry, state="failed")
    return Part(name, "files", OCTETS_MEDIA_TYPE, outcome, started, _now(), target, entry=entry)


def _file_outcome(spooled: Spooled, via: str, size: int) -> Outcome:
    said = [f"named by a symbolic link, it is {via}"] if via else []
    if spooled.truncated:
        return Outcome(state="truncated", reason=cut("; ".join([spooled.truncated, *said])))
    if spooled.size != size:
        said.append(f"it changed while it was read: {size} bytes before, {spooled.size} taken")
    return Outcome(state="collected" if spooled.size else "empty", reason=cut("; ".join(said)) or _nothing(spooled))


def _nothing(spooled: Spooled) -> str:
    return "" if spooled.size else "the file is empty"


def _contents(descriptor: int, work: Work) -> Iterator[bytes]:
    while chunk := os.read(descriptor, CHUNK_BYTES):
        work.beat()
        yield chunk


def _journal(work: Work) -> Part:
    name, started = "journal", _now()
    if shutil.which("journalctl") is None:
        return _absent(name, "logs", started, "journalctl is not installed: this host keeps no journal", {})
    since = f"@{int(time.time()) - work.limits.journal_seconds}"
    command = ("journalctl", "--no-pager", "--quiet", "--output=export", "--reverse", f"--since={since}")
    target = work.folder / "journal.export"
    try:
        spooled = spool_output(command, target, work.limits.journal_max_bytes, work.share(), beat=work.beat)
    except OSError as error:
        return _absent(name, "logs", started, str(error), {}, state="failed")
    if not spooled.size:
        target.unlink()
        failed = bool(spooled.exit_status)
        why = spooled.said or f"journalctl found no entry since {since}: journald may not run here"
        return _absent(name, "logs", started, why, {}, state="failed" if failed else "missing")
    reason = f"{spooled.truncated}; the oldest entries are missing" if spooled.truncated else ""
    outcome = Outcome(state="truncated" if reason else "collected", reason=reason)
    entry = {"since": since, "newest_first": True}
    return Part(name, "logs", JOURNAL_MEDIA_TYPE, outcome, started, _now(), target, command, spooled.exit_status, entry)


def _chosen(order: CollectVolatileOrder, work: Work) -> tuple[ProcessRef, ...]:
    kept = work.folder / "memory.chosen.json"
    if kept.exists():
        return tuple(ProcessRef.model_validate(found) for found in json.loads(kept.read_bytes()))
    chosen = choose(order)
    write_json(kept, [ref.model_dump(mode="json") for ref in chosen])
    return chosen


def _memory(ref: ProcessRef, name: str, max_bytes: int, work: Work, deadline: float) -> Part:
    target, started = work.folder / f"{name}.raw", _now()
    try:
        dumped = dump(ref.pid, ref.start_ticks, target, max_bytes, min(deadline, work.deadline))
    except OSError as error:
        return _absent(name, "memory", started, str(error), ref.model_dump(mode="json"), state="failed")
    entry = ref.model_dump(mode="json") | {"regions": dumped.regions, "extents": dumped.extents}
    if not dumped.size:
        target.unlink()
        return _absent(name, "memory", started, dumped.outcome.reason, entry, state="failed")
    return Part(name, "memory", OCTETS_MEDIA_TYPE, dumped.outcome, started, _now(), target, entry=entry)


def _absent(
    name: str, kind: EvidenceKind, started: str, why: str, entry: dict[str, Any], *, state: Any = "missing"
) -> Part:
    return Part(name, kind, OCTETS_MEDIA_TYPE, Outcome(state=state, reason=cut(why)), started, _now(), entry=entry)


def _note(part: Part) -> dict[str, Any]:
    whole = {key: getattr(part, key) for key in part.__dataclass_fields__}
    return whole | {"outcome": part.outcome.model_dump(), "path": part.path.name if part.path else None}


def _noted(note: dict[str, Any], folder: Path) -> Part:
    outcome, command = Outcome.model_validate(note["outcome"]), tuple(note["command"])
    return Part(**note | {"outcome": outcome, "command": command, "path": folder / note["path"]})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def write_json(path: Path, document: Any) -> None:
    """Keep a document; whole or not there."""
    draft = path.with_suffix(".draft")
    try:
        with draft.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        draft.unlink(missing_ok=True)  # a full disk has no room for half a document
        raise
    draft.replace(path)
