"""Kernel events as an item of evidence: counted, with what was lost.

Owns reading a file of event lines into acquisition facts.

    events_artefact("events-before", path, freeze)
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from activities.contracts.evidence import Acquisition, Outcome
from activities.host.artefacts import EVENTS_MEDIA_TYPE, Artefact, tool
from activities.host.frozen import Freeze
from activities.host.kernel_events import lost

RANK = 3  # RFC 3227, 2.1: it shows processes and connections that may be gone by now
_NOT_EVENTS = frozenset({"segment", "lost", "skipped", "unreadable"})


@dataclass
class _Count:
    events: int = 0
    lost: int = 0
    first: datetime | None = None
    last: datetime | None = None


def events_artefact(label: str, path: Path, freeze: Freeze, *, reason: str = "") -> Artefact:
    """The events of one file; `reason` says what is known to be missing from it."""
    count = _count(path) if path.exists() else _Count()
    outcome = _outcome(count, freeze, reason)
    return Artefact(
        label=label,
        kind="ebpf-events",
        name=f"{label}.jsonl",
        media_type=EVENTS_MEDIA_TYPE,
        outcome=outcome,
        acquisition=_acquisition(count, freeze),
        volatility_rank=RANK,
        path=path if outcome.state not in ("failed", "missing") else None,
    )


def _outcome(count: _Count, freeze: Freeze, reason: str) -> Outcome:
    status = freeze.status
    if not count.events and status.events != "running":
        state = status.events
        why = status.events_reason or ("not configured" if state == "off" else f"bpftrace was {state}")
        return Outcome(state="missing" if state == "off" else "failed", reason=why)
    if reason:
        return Outcome(state="truncated", reason=reason)
    if not count.events:
        return Outcome(state="empty", reason="no event in that time")
    return Outcome(state="collected", reason=status.events_reason)


def _acquisition(count: _Count, freeze: Freeze) -> Acquisition:
    used = tool("bpftrace")
    return Acquisition(
        tool=used.name,
        tool_version=used.version,
        tool_sha256=used.sha256,
        command=freeze.events_command,
        started=count.first or freeze.frozen_at,
        ended=count.last or freeze.frozen_at,
        kernel=used.kernel,
        events=count.events,
        events_lost=count.lost,
    )


def _count(path: Path) -> _Count:
    count = _Count()
    for document in _documents(path):
        count.lost += lost(document)
        if document["event"] not in _NOT_EVENTS:
            count.events += 1
            at = datetime.fromisoformat(document["at"]).astimezone(UTC)
            count.first = at if count.first is None else count.first
            count.last = at
    return count


def _documents(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            # Only the last line can be half: its writer was killed.
            if line.endswith("\n"):
                yield json.loads(line)
