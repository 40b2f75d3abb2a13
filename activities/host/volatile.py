"""Volatile state of this host, most volatile first, within a time budget.

Owns the order (RFC 3227), the budget, the documents on disk and what became of each. Reading one kind of state is in
`volatile_sources`, what has content of its own in `volatile_files`. Read-only.

    collector = VolatileCollector(facts)
    collector.collect(order, folder, deadline=time.monotonic() + 60)
"""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from activities.contracts.collecting import CollectVolatileOrder
from activities.contracts.evidence import Acquisition, EvidenceKind, Outcome
from activities.host.artefacts import JSON_MEDIA_TYPE, Artefact, HostFacts, tool
from activities.host.clock import boot_ns, clock_error
from activities.host.executable_digests import Digests
from activities.host.volatile_files import (
    ContentLimits,
    Part,
    Work,
    read_files,
    read_journal,
    read_memory,
    write_json,
)
from activities.host.volatile_sources import SOURCES, Reading, SourceFailed, SourceMissing
from playbooks.forensics import Collector
from segmentation.bounds import cut

# RFC 3227, 2.1. Two of one rank are taken in this order. Package integrity reads every file there is: it comes last.
RANKS: dict[Collector, int] = {
    "sockets": 1,
    "conntrack": 1,
    "neighbours": 2,
    "routes": 2,
    "processes": 3,
    "memory": 4,
    "ruleset": 5,
    "mounts": 5,
    "logins": 6,
    "modules": 6,
    "cron": 7,
    "files": 7,
    "journal": 8,
    "packages": 9,
}
# What has content: how its parts are read, and of what kind its document is.
_CONTENT: dict[Collector, tuple[Callable[[CollectVolatileOrder, Work], Iterator[Part]], EvidenceKind]] = {
    "memory": (read_memory, "memory"),
    "files": (read_files, "files"),
    "journal": (read_journal, "logs"),
}
_UNREADABLE = (OSError, ValueError, LookupError)


class VolatileCollector:
    """Collects on one host."""

    def __init__(self, facts: HostFacts, limits: ContentLimits | None = None) -> None:
        self._facts, self._limits = facts, limits or ContentLimits()

    def collect(
        self, order: CollectVolatileOrder, folder: Path, deadline: float, beat: Callable[[], None] = lambda: None
    ) -> Iterator[Artefact]:
        """Artefacts in order of volatility. What an earlier try left is taken as it is: it is read only once."""
        with Digests(deadline, beat, self._limits.hashes) as digests:
            yield from self._collect(order, Work(folder, deadline, self._limits, beat, digests))

    def _collect(self, order: CollectVolatileOrder, work: Work) -> Iterator[Artefact]:
        for name, rank in RANKS.items():
            if name not in order.collect:
                continue
            if name in _CONTENT:
                yield from self._contents(name, rank, order, work)
            else:
                path = work.folder / f"{name}.json"
                yield self._document_of(name, rank, path, self._read(name, path, work), "volatile")

    def _read(self, name: Collector, path: Path, work: Work) -> Outcome:
        if path.exists():
            return _outcome(json.loads(path.read_bytes()))
        if time.monotonic() >= work.deadline:
            return Outcome(state="missing", reason="the time budget was spent before its turn")
        work.beat()
        started, booted = datetime.now(UTC), boot_ns()
        try:
            reading = SOURCES[name](work)
            document = self._document(name, reading, started, booted)
            write_json(path, document)
        except SourceMissing as error:
            return Outcome(state="missing", reason=cut(str(error)))
        except (SourceFailed, *_UNREADABLE) as error:
            # ValueError, LookupError: output that is not of the form we know costs its own item alone.
            return Outcome(state="failed", reason=cut(str(error)))
        return _outcome(document)

    def _document(self, name: Collector, reading: Reading, started: datetime, booted: int) -> dict[str, Any]:
        clock = clock_error(booted)
        return {
            "schema": "firebreak/volatile/1",
            "collector": name,
            "host": self._facts.host,
            "host_id": self._facts.host_id,
            "netns_inode": self._facts.netns_inode,
            "started": started.isoformat(timespec="microseconds"),
            "ended": datetime.now(UTC).isoformat(timespec="microseconds"),
            "tool": reading.tool,
            "command": list(reading.command),
            "exit_status": reading.exit_status,
            "clock_offset_ms": clock.offset_ms,
            "clock": clock.reason,
            "truncated": reading.truncated,
            "note": reading.note,
            "entries": reading.entries,
        }

    def _contents(self, name: Collector, rank: int, order: CollectVolatileOrder, work: Work) -> Iterator[Artefact]:
        read, kind = _CONTENT[name]
        started, booted = datetime.now(UTC), boot_ns()
        entries: list[dict[str, Any]] = []
        try:
            for part in read(order, work):
                artefact = self._part(part, rank, work.folder, booted)
                entries.append({"item": artefact.label, **part.outcome.model_dump(), **part.entry})
                if name == "journal" or part.path is not None:
                    yield artefact
        except _UNREADABLE as error:
            failed = Outcome(state="failed", reason=cut(str(error)))
            yield self._document_of(name, rank, work.folder / "none", failed, kind)
            return
        if name == "journal":
            return
        path, outcome = work.folder / f"{name}.json", _contents_outcome(name, entries)
        try:
            if not path.exists():
                write_json(path, self._document(name, Reading(entries), started, booted))
        except OSError as error:
            outcome = Outcome(state="failed", reason=cut(str(error)))
        yield self._document_of(name, rank, path, outcome, kind)

    def _part(self, part: Part, rank: int, folder: Path, booted: int) -> Artefact:
        clock, used = clock_error(booted), tool(part.command[0] if part.command else "firebreak")
        label = _label(part.name, folder)
        outcome = _with(part.outcome, clock.reason)
        acquisition = Acquisition(
            tool=used.name,
            tool_version=used.version,
            tool_sha256=used.sha256,
            command=part.command,
            started=datetime.fromisoformat(part.started),
            ended=datetime.fromisoformat(part.ended),
            clock_offset_ms=clock.offset_ms,
            kernel=used.kernel,
            truncated=part.outcome.state == "truncated",
            exit_status=part.exit_status,
        )
        name = f"{label}{part.path.suffix if part.path else ''}"
        return Artefact(label, part.kind, name, part.media_type, outcome, acquisition, rank, part.path)

    def _document_of(self, name: Collector, rank: int, path: Path, outcome: Outcome, kind: EvidenceKind) -> Artefact:
        label, kept = _label(name, path.parent), path.exists()
        acquisition = _acquisition(json.loads(path.read_bytes()) if kept else {})
        return Artefact(
            label=label,
            kind=kind,
            name=f"{label}.json",
            media_type=JSON_MEDIA_TYPE,
            outcome=outcome,
            acquisition=acquisition,
            volatility_rank=rank,
            path=path if kept else None,
        )


def _label(name: str, folder: Path) -> str:
    """Another order of the same incident has names of its own."""
    nth = int(folder.name.split("-")[1])
    return name if nth == 1 else f"{name}-{nth}"


def _outcome(document: dict[str, Any]) -> Outcome:
    also = "; ".join(filter(None, (document.get("note", ""), document.get("clock", ""))))
    if document["truncated"]:
        return _with(Outcome(state="truncated", reason=cut(document["truncated"])), also)
    found = Outcome(state="collected") if document["entries"] else Outcome(state="empty", reason="there was none")
    return _with(found, also)


def _with(outcome: Outcome, also: str) -> Outcome:
    reason = "; ".join(filter(None, (outcome.reason, also)))
    return Outcome(state=outcome.state, reason=reason)


def _contents_outcome(name: Collector, entries: list[dict[str, Any]]) -> Outcome:
    if not entries:
        asked = "no process has a connection" if name == "memory" else "the order names no file"
        return Outcome(state="empty", reason=asked)
    wrong = [entry for entry in entries if entry["state"] not in ("collected", "empty")]
    said = "; ".join(f"{entry['item']}: {entry['state']}, {entry['reason']}" for entry in wrong)
    return Outcome(state="truncated" if wrong else "collected", reason=cut(said))


def _acquisition(document: dict[str, Any]) -> Acquisition:
    now = datetime.now(UTC)
    used = tool(document.get("tool") or "firebreak")
    return Acquisition(
        tool=used.name,
        tool_version=used.version,
        tool_sha256=used.sha256,
        command=tuple(document.get("command", ())),
        started=datetime.fromisoformat(document["started"]) if document else now,
        ended=datetime.fromisoformat(document["ended"]) if document else now,
        clock_offset_ms=document.get("clock_offset_ms"),
        kernel=used.kernel,
        truncated=bool(document.get("truncated")),
        exit_status=document.get("exit_status"),
    )
