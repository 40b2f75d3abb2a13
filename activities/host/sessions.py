"""What is known of a session of the packet ring beside its packets: where, since when, how it ended, what is missing.

Owns the two records in a session's folder, and the gaps between sessions. A session without an end was left by an agent
that was killed: until when it captured is what its files show.

    write_record(session, Begun(...)); write_record(session, Ended(...))
    gaps_before(sessions)     # -> {session: (Gap(...), ...)}
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from activities.contracts.evidence import Gap
from activities.host.capture import LOG_FILE, complaint, counters
from activities.host.namespaces import Link
from segmentation.bounds import cut
from segmentation.workloads import Frozen

_BEGUN, _ENDED = "begun.json", "ended.json"
# The next session captures before the former ends, unless something went wrong.
_SEAM = timedelta(milliseconds=50)
Record = TypeVar("Record", bound=BaseModel)


class Begun(Frozen):
    """How a session began. `boot_ns`: clock.boot_ns() then."""

    command: tuple[str, ...]
    boot_id: str
    boot_ns: int
    netns_inode: int
    links: tuple[Link, ...]
    absent: tuple[str, ...] = ()
    capturing_at: datetime


class Ended(Frozen):
    """How it ended, as the agent that watched over it saw it. Without a reason it was asked to."""

    ended_at: datetime
    boot_ns: int
    reason: str = ""
    exit_status: int | None = None


def write_record(session: Path, record: Begun | Ended) -> None:
    """Keep a record; whole or not there."""
    target = session / (_BEGUN if isinstance(record, Begun) else _ENDED)
    draft = target.with_suffix(".draft")
    draft.write_text(record.model_dump_json(), encoding="utf-8")
    draft.replace(target)


def begun(session: Path) -> Begun | None:
    """How it began; None when it never captured."""
    return _read(session / _BEGUN, Begun)


def ended(session: Path) -> Ended | None:
    """How it ended, if anybody saw it."""
    return _read(session / _ENDED, Ended)


def packet_files(session: Path) -> list[Path]:
    """Capture files of a session in the order they were written; tcpdump's numbers begin again."""
    whole = sorted(session.glob("*.pcapng"))
    return whole or sorted(session.glob("ring.pcap*"), key=lambda path: (path.stat().st_mtime_ns, path.name))


def captured_until(session: Path) -> datetime:
    """Up to when it surely captured."""
    seen = ended(session)
    if seen is not None and not seen.reason:
        return seen.ended_at
    log = session / LOG_FILE
    # A tool that ended in order wrote its counters last; one that was killed wrote packets until then.
    written = [*packet_files(session), *([log] if counters(log) else [])]
    last = max((path.stat().st_mtime for path in written), default=0.0)
    first = begun(session)
    shown = datetime.fromtimestamp(last, UTC)
    return max(shown, first.capturing_at) if first else shown


def why_ended(session: Path) -> str:
    """In words, for a gap."""
    seen, log = ended(session), session / LOG_FILE
    if seen is not None:
        return seen.reason or "the agent was stopped"
    said = complaint(log)
    if said:
        return said
    return "the agent was killed, its ring ended with it" if counters(log) else "the ring was killed"


def gaps_before(sessions: Sequence[Path]) -> dict[Path, tuple[Gap, ...]]:
    """For each session, oldest first, what was not captured before it or beside it."""
    found: dict[Path, tuple[Gap, ...]] = {}
    former: Path | None = None
    for session in sessions:
        first = begun(session)
        if first is None:
            continue
        gaps = [_absence(session, first)] if first.absent else []
        if former is not None and first.capturing_at - captured_until(former) > _SEAM:
            gaps.insert(0, _gap(captured_until(former), first.capturing_at, why_ended(former)))
        found[session] = tuple(gaps)
        former = session
    return found


def gap_after(session: Path, until: datetime) -> tuple[Gap, ...]:
    """What was not captured since the last session ended."""
    since = captured_until(session)
    return (_gap(since, until, why_ended(session)),) if until - since > _SEAM else ()


def _absence(session: Path, first: Begun) -> Gap:
    names = ", ".join(first.absent)
    return _gap(first.capturing_at, captured_until(session), f"of {names} nothing: there was no such interface")


def _gap(since: datetime, until: datetime, reason: str) -> Gap:
    return Gap(started=since, ended=max(since, until), reason=cut(reason))


def _read(path: Path, kind: type[Record]) -> Record | None:
    return kind.model_validate_json(path.read_bytes()) if path.exists() else None
