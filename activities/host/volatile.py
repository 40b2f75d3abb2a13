"""Volatile state of this host as JSON documents, most volatile first, within a time budget.

Owns the order (RFC 3227), the budget, the documents on disk and what became of each. Reading one kind of
state is in `volatile_sources`. Read-only.

    collector = VolatileCollector(facts)
    collector.collect(("sockets", "processes"), folder, deadline=time.monotonic() + 60)
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from activities.contracts.evidence import Acquisition, Outcome
from activities.host.artefacts import JSON_MEDIA_TYPE, Artefact, HostFacts, tool
from activities.host.volatile_sources import SOURCES, Reading, SourceFailed
from playbooks.forensics import Collector

# RFC 3227, 2.1. Two of one rank are taken in this order.
RANKS: dict[Collector, int] = {
    "sockets": 1,
    "conntrack": 1,
    "neighbours": 2,
    "routes": 2,
    "processes": 3,
    "ruleset": 5,
    "logins": 6,
    "modules": 6,
}


class VolatileCollector:
    """Collects on one host."""

    def __init__(self, facts: HostFacts) -> None:
        self._facts = facts

    def collect(self, wanted: Sequence[Collector], folder: Path, deadline: float) -> Iterator[Artefact]:
        """One artefact each. A document that an earlier try left is taken as it is: it is read only once."""
        for name, rank in RANKS.items():
            if name in wanted:
                path = folder / f"{name}.json"
                yield self._artefact(name, rank, path, self._read(name, path, deadline))

    def _read(self, name: Collector, path: Path, deadline: float) -> Outcome:
        if path.exists():
            return _outcome(json.loads(path.read_bytes()))
        if time.monotonic() >= deadline:
            return Outcome(state="missing", reason="the time budget was spent before its turn")
        started = datetime.now(UTC)
        try:
            reading = SOURCES[name](deadline)
        except (SourceFailed, OSError, ValueError, LookupError) as error:
            # ValueError, LookupError: output that is not of the form we know costs its own item alone.
            return Outcome(state="failed", reason=str(error)[:500])
        document = self._document(name, reading, started)
        _write(path, document)
        return _outcome(document)

    def _document(self, name: Collector, reading: Reading, started: datetime) -> dict[str, Any]:
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
            "truncated": reading.truncated,
            "entries": reading.entries,
        }

    def _artefact(self, name: Collector, rank: int, path: Path, outcome: Outcome) -> Artefact:
        nth = int(path.parent.name.split("-")[1])
        label = name if nth == 1 else f"{name}-{nth}"
        kept = path.exists()
        return Artefact(
            label=label,
            kind="volatile",
            name=f"{label}.json",
            media_type=JSON_MEDIA_TYPE,
            outcome=outcome,
            acquisition=_acquisition(json.loads(path.read_bytes()) if kept else {}),
            volatility_rank=rank,
            path=path if kept else None,
        )


def _outcome(document: dict[str, Any]) -> Outcome:
    if document["truncated"]:
        return Outcome(state="truncated", reason=document["truncated"])
    return Outcome(state="collected") if document["entries"] else Outcome(state="empty", reason="there was none")


def _acquisition(document: dict[str, Any]) -> Acquisition:
    now = datetime.now(UTC)
    used = tool(document.get("tool") or "none")
    return Acquisition(
        tool=document.get("tool") or "firebreak",
        tool_version=used.version,
        tool_sha256=used.sha256,
        command=tuple(document.get("command", ())),
        started=datetime.fromisoformat(document["started"]) if document else now,
        ended=datetime.fromisoformat(document["ended"]) if document else now,
        kernel=used.kernel,
        truncated=bool(document.get("truncated")),
    )


def _write(path: Path, document: dict[str, Any]) -> None:
    draft = path.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
