"""Kernel events as a timeline: connections, executions, denials, names asked for, and what was lost between.

Owns the reading of lines of JSON that each have `event` and `at`. A line of another form is counted and shown as it is.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO

from activities.evidence.preview.documents import EventRow, EventsPreview, PreviewRequest
from activities.evidence.preview.inert import LONG_LIMIT, decoded, shown
from activities.evidence.preview.reading import Deadline
from activities.evidence.preview.rows import Rows
from activities.evidence.preview.series import Counting

LINE_BYTES = 64 << 10
KINDS = ("connection", "execution", "denial", "dns", "lost", "other")
_LOST = ("lost", "skipped")
_SEVERAL = 40
_UNREADABLE = "unreadable"


@dataclass
class _Timeline:
    rows: Rows[EventRow]
    counts: Counter[str] = field(default_factory=Counter)
    series: Counting = field(default_factory=lambda: Counting(KINDS))
    lost: int = 0
    unreadable: int = 0
    first: datetime | None = None
    last: datetime | None = None

    def add(self, line: bytes) -> None:
        """One line."""
        document = _parsed(line)
        if document is None:
            self.unreadable += 1
            self._keep(None, _UNREADABLE, decoded(line, LONG_LIMIT))
            return
        event, at = str(document.get("event", "")), _moment(document.get("at"))
        if event == "segment":
            return  # what the recorder says of itself
        name = shown(event, _SEVERAL) or "event"
        if name in self.counts or len(self.counts) < _SEVERAL:
            self.counts[name] += 1
        if event in _LOST:
            self.lost += _count(document)
        if at is not None:
            self._time(at, event)
        self._keep(at, name, _sentence(event, document))

    def _time(self, at: datetime, event: str) -> None:
        self.first = at if self.first is None else min(self.first, at)
        self.last = at if self.last is None else max(self.last, at)
        kind = "lost" if event in _LOST else event if event in KINDS else "other"
        self.series.at(at.timestamp())[KINDS.index(kind)] += 1

    def _keep(self, at: datetime | None, event: str, text: str) -> None:
        if self.rows.wants(f"{event} {text}"):
            self.rows.kept.append(EventRow(at=at, event=event, text=text))


def preview_events(stream: BinaryIO, request: PreviewRequest, deadline: Deadline) -> EventsPreview:
    """The timeline of a file of lines."""
    timeline = _Timeline(Rows(request.q, request.page))
    while line := stream.readline(LINE_BYTES):
        if line.strip():
            timeline.add(line)
        if deadline.passed():
            break
    return EventsPreview(
        counts=tuple(timeline.counts.most_common()),
        lost=timeline.lost,
        unreadable=timeline.unreadable,
        first=timeline.first,
        last=timeline.last,
        series=timeline.series.result(),
        rows=tuple(timeline.rows.kept),
        paged=timeline.rows.paged(),
    )


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _moment(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        # A year's edge in another zone is a year that there is not.
        return None if found is None else (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _count(document: dict[str, Any]) -> int:
    count = document.get("count")
    return count if isinstance(count, int) and 0 <= count < 1 << 53 else 0


def _sentence(event: str, document: dict[str, Any]) -> str:
    """An event in one line, for those whose form is known; else every field."""
    said = dict(document)
    for name in ("event", "at", "socket", "was"):
        said.pop(name, None)
    parts = []
    if "source" in said and "destination" in said:
        parts.append(_flow(said))
    if event == "execution":
        parts.append(_text(said.pop("file", "")))
    parts += [f"{name} {_text(value)}" for name, value in said.items()]
    return shown("  ".join(parts), LONG_LIMIT)


def _flow(said: dict[str, Any]) -> str:
    protocol = {6: "TCP", 17: "UDP", 1: "ICMP", 58: "ICMPv6"}.get(_number(said.get("protocol")), "")
    if protocol:
        said.pop("protocol")
    ends = [f"{_text(said.pop(end))}{_port(said.pop(f'{end}_port', 0))}" for end in ("source", "destination")]
    state = _text(said.pop("state", ""))
    return " ".join(part for part in (protocol, " → ".join(ends), state) if part)


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1


def _port(value: object) -> str:
    return f":{value}" if isinstance(value, int) and 0 < value < 1 << 16 else ""


def _text(value: object) -> str:
    return value[:LONG_LIMIT] if isinstance(value, str) else json.dumps(value)[:LONG_LIMIT]
