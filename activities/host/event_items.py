"""Kernel events as an item of evidence: counted, with what was lost and when nobody looked.

Owns reading a file of event lines into acquisition facts. A gap reaches from the last event before it to what ended it.

    events_artefact("events-before", path, freeze)
    events_artefact("events-after", path, freeze, since_freeze=True)
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from activities.contracts.evidence import Acquisition, Gap, Outcome
from activities.host.artefacts import EVENTS_MEDIA_TYPE, Artefact, tool
from activities.host.clock import clock_error
from activities.host.frozen import Freeze
from activities.host.kernel_events import lost
from segmentation.bounds import COMMAND_LENGTH, cut, few_words

RANK = 3  # RFC 3227, 2.1: it shows processes and connections that may be gone by now
_NOT_EVENTS = frozenset({"segment", "lost", "skipped", "unreadable", "starting", "recording", "stopped"})
_NOT_RUN = "bpftrace did not run"
_MAX_GAPS = 200


@dataclass
class _Count:
    events: int = 0
    lost: int = 0
    first: datetime | None = None
    last: datetime | None = None
    # Up to when events were told, and since when nobody looks.
    until: datetime | None = None
    blind_since: datetime | None = None
    blind_why: str = _NOT_RUN
    gaps: list[Gap] = field(default_factory=list)

    def take(self, document: dict[str, Any]) -> None:
        """One line."""
        event, missing = document["event"], lost(document)
        at = datetime.fromisoformat(document["at"]).astimezone(UTC) if "at" in document else None
        self.lost += missing
        if missing and at:
            self._gap(self.until or at, at, f"{missing} events lost or left out: more came than could be told")
        if event in ("starting", "stopped"):
            self.blind_since = self.until
            self.blind_why = str(document.get("reason", self.blind_why))
        elif event == "recording" and at and self.blind_since:
            self._gap(self.blind_since, at, cut(self.blind_why))
        if event == "recording":
            self.blind_since, self.blind_why = None, _NOT_RUN
        if event not in _NOT_EVENTS:
            self.events += 1
            self.first = at if self.first is None else self.first
            self.last = at
        self.until = at if at and event not in ("segment", "starting", "stopped") else self.until

    def _gap(self, since: datetime, until: datetime, reason: str) -> None:
        if len(self.gaps) < _MAX_GAPS:
            self.gaps.append(Gap(started=min(since, until), ended=until, reason=reason))
        else:
            whole = self.gaps[-1]
            self.gaps[-1] = Gap(started=whole.started, ended=until, reason="many gaps, more than are told one by one")


def events_artefact(
    label: str, path: Path, freeze: Freeze, *, since_freeze: bool = False, reason: str = ""
) -> Artefact:
    """The events of one file, until the freeze or since then; `reason` says what is known to be missing from it."""
    count = _Count()
    if since_freeze:
        count.until = freeze.frozen_at
        count.blind_since = None if freeze.status.events in ("running", "off") else freeze.frozen_at
    if path.exists():
        for document in _documents(path):
            count.take(document)
    if freeze.status.events == "failed" and not since_freeze and count.blind_since is None:
        count.blind_since, count.blind_why = count.until, freeze.status.events_reason or _NOT_RUN
    outcome = _outcome(count, freeze, reason)
    if freeze.events_missing and not since_freeze and not path.exists():
        outcome = Outcome(state="failed", reason=cut(freeze.events_missing))
    until = datetime.now(UTC) if since_freeze else freeze.frozen_at
    return Artefact(
        label=label,
        kind="ebpf-events",
        name=f"{label}.jsonl",
        media_type=EVENTS_MEDIA_TYPE,
        outcome=outcome,
        acquisition=_acquisition(count, freeze, until),
        volatility_rank=RANK,
        path=path if outcome.state not in ("failed", "missing") else None,
    )


def _outcome(count: _Count, freeze: Freeze, reason: str) -> Outcome:
    status = freeze.status
    if not count.events and status.events != "running":
        state = status.events
        why = status.events_reason or ("not configured" if state == "off" else f"bpftrace was {state}")
        return Outcome(state="missing" if state == "off" else "failed", reason=cut(why))
    if reason:
        return Outcome(state="truncated", reason=cut(reason))
    if not count.events:
        return Outcome(state="empty", reason="no event in that time")
    return Outcome(state="collected", reason=cut(status.events_reason))


def _acquisition(count: _Count, freeze: Freeze, until: datetime) -> Acquisition:
    used, clock = tool("bpftrace"), clock_error(freeze.boot_ns)
    gaps = count.gaps
    if count.blind_since:
        gaps = [*gaps, Gap(started=count.blind_since, ended=max(count.blind_since, until), reason=cut(count.blind_why))]
    return Acquisition(
        tool=used.name,
        tool_version=used.version,
        tool_sha256=used.sha256,
        command=few_words(freeze.events_command, COMMAND_LENGTH),
        started=count.first or freeze.frozen_at,
        ended=count.last or freeze.frozen_at,
        clock_offset_ms=clock.offset_ms,
        kernel=used.kernel,
        gaps=tuple(gaps),
        events=count.events,
        events_lost=count.lost,
    )


def _documents(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            # The last line can be half: its writer was killed. Another that can't be read costs itself alone.
            if line.endswith("\n"):
                with contextlib.suppress(ValueError):
                    yield json.loads(line)
