"""Captures as items of evidence: counted, with every counter of loss and every gap.

Owns reading the files and logs of captures into acquisition facts. A ring's files share the counters of their session:
what the session lost can't be told apart by file, so only a session without loss proves it for each.

    ring_artefacts(folder, settings, freeze)     # -> one Artefact a file, in the order they were written
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from activities.contracts.collecting import MAX_ITEMS
from activities.contracts.evidence import Acquisition, Gap, Outcome
from activities.host.artefacts import PACKETS_MEDIA_TYPE, PCAP_MEDIA_TYPE, Artefact, Tool, tool
from activities.host.capture import LOG_FILE, Counters, complaint, counters
from activities.host.capture_tools import PacketSettings, tool_here
from activities.host.clock import ClockError, clock_error
from activities.host.frozen import Freeze, FullCapture, IncidentFolder
from activities.host.namespaces import Link
from activities.host.pcap import summarize_any
from activities.host.pcapng import CaptureSummary
from activities.host.sessions import begun, ended, gap_after, gaps_before, packet_files
from segmentation.bounds import COMMAND_LENGTH, countable, cut, few_words, plausible

RANK = 4  # RFC 3227, 2.1: after sockets and processes, before the disk
_LINKTYPES = {0: "NULL", 1: "EN10MB", 101: "RAW", 113: "LINUX_SLL", 276: "LINUX_SLL2"}
# dumpcap looks at its clock a few times a second; a capture that ends this long before its time was ended.
_EARLY = timedelta(seconds=1)
_NO_ERROR = ClockError()


@dataclass(frozen=True)
class _Facts:
    """What an item says beside its bytes."""

    command: tuple[str, ...] = ()
    lost: Counters | None = None
    gaps: tuple[Gap, ...] = ()
    clock: ClockError = _NO_ERROR
    exit_status: int | None = None
    links: tuple[Link, ...] = ()
    netns_inode: int = 0


def ring_artefacts(
    folder: IncidentFolder, settings: PacketSettings, freeze: Freeze, key: str = "", *, most: int = MAX_ITEMS
) -> Iterator[Artefact]:
    """The frozen files of one ring; of more than `most` the newest, and one artefact that says so."""
    sessions = folder.ring_sessions(key)
    gaps = gaps_before(sessions)
    files = [(session, path) for session in sessions for path in packet_files(session)]
    first = dict(reversed(files))
    left_out = len(files) - most + 1 if len(files) > most else 0
    if left_out:
        yield _left_out([path for _, path in files[:left_out]], settings, key)
    for number, (session, path) in enumerate(files[left_out:], left_out + 1):
        missing = gaps.get(session, ()) if path == first[session] else ()
        if (session, path) == files[-1] and session == sessions[-1]:
            missing += gap_after(session, freeze.frozen_at)
        yield _ring_artefact(path, f"{_prefix(key)}ring-{number:04d}", missing, settings, freeze)


def _left_out(paths: Sequence[Path], settings: PacketSettings, key: str) -> Artefact:
    """The oldest files, as a gap: they stay on the host until it forgets the incident."""
    written = sorted(datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in paths)
    reason = f"{len(paths)} older files are not handed over: a collection has at most {MAX_ITEMS} items"
    gap = Gap(started=written[0], ended=written[-1], reason=reason)
    facts = _Facts(gaps=(gap,))
    acquisition = Acquisition(tool=tool_here(), started=written[0], ended=written[-1], gaps=facts.gaps)
    outcome = Outcome(state="missing", reason=reason)
    return _artefact(f"{_prefix(key)}ring-older", None, outcome, acquisition, facts, settings)


def no_ring(freeze: Freeze, settings: PacketSettings, key: str = "") -> Artefact:
    """That there was no ring to freeze."""
    reason = freeze.status.packets_reason or "the flight recorder is off, or has only just begun"
    state = freeze.status.packets
    acquisition = Acquisition(tool=tool_here(), started=freeze.frozen_at, ended=freeze.frozen_at)
    outcome = Outcome(state="failed" if state == "failed" else "missing", reason=cut(reason))
    return _artefact(f"{_prefix(key)}ring", None, outcome, acquisition, _Facts(), settings)


def not_frozen(reason: str, settings: PacketSettings, key: str = "") -> Artefact:
    """That the ring could not be frozen, such as on a disk that is full."""
    now = datetime.now(UTC)
    acquisition = Acquisition(tool=tool_here(), started=now, ended=now)
    outcome = Outcome(state="failed", reason=cut(reason))
    return _artefact(f"{_prefix(key)}ring", None, outcome, acquisition, _Facts(), settings)


def capture_artefact(
    folder: IncidentFolder, capture: FullCapture, settings: PacketSettings, exit_status: int | None = None
) -> Artefact:
    """A full-length capture that has ended, in whatever way."""
    path = folder.path / capture.file
    summary = summarize_any(path) if path.exists() else CaptureSummary()
    log = path.with_suffix(".log")
    lost = counters(log)
    if lost is None and summary.closed:
        lost = Counters(summary.received or 0, summary.dropped or 0, 0)
    facts = _Facts(
        capture.command,
        lost,
        _cut_short(capture, path, log, settings),
        clock_error(capture.boot_ns),
        exit_status,
        capture.links,
        capture.netns_inode,
    )
    outcome = _capture_outcome(path, summary, settings, facts, said=complaint(log))
    acquisition = _acquisition(path, summary, facts, settings)
    there = path if path.exists() else None
    return _artefact(path.stem, there, _with_clock(outcome, facts.clock), acquisition, facts, settings)


def no_capture(freeze: Freeze | None, settings: PacketSettings, key: str = "") -> Artefact:
    """That no full-length capture was begun."""
    now = datetime.now(UTC)
    reason = freeze.capture_reasons.get(key, "") if freeze else "nothing was frozen for this incident on this host"
    outcome = Outcome(state="failed" if freeze else "missing", reason=cut(reason))
    acquisition = Acquisition(tool=tool_here(), started=now, ended=now)
    return _artefact(f"{_prefix(key)}capture", None, outcome, acquisition, _Facts(), settings)


def _ring_artefact(path: Path, label: str, gaps: tuple[Gap, ...], settings: PacketSettings, freeze: Freeze) -> Artefact:
    summary = summarize_any(path)
    lost = counters(path.parent / LOG_FILE)
    proven = lost is not None and lost.dropped_kernel == lost.dropped_interface == 0
    first, last = begun(path.parent), ended(path.parent)
    facts = _Facts(lost=lost if proven else None, gaps=gaps, exit_status=last.exit_status if last else None)
    if first is not None:
        # Another boot has another clock; nobody set it.
        until = last.boot_ns if last else freeze.boot_ns if first.boot_id == freeze.boot_id else None
        clock = clock_error(first.boot_ns, until) if until else _NO_ERROR
        facts = replace(facts, command=first.command, clock=clock, links=first.links, netns_inode=first.netns_inode)
    outcome = _with_clock(_ring_outcome(summary, lost), facts.clock)
    return _artefact(label, path, outcome, _acquisition(path, summary, facts, settings), facts, settings)


def _ring_outcome(summary: CaptureSummary, lost: Counters | None) -> Outcome:
    if not summary.whole:
        return Outcome(state="truncated", reason="the file ends within a packet: its capture was killed")
    if lost is None:
        return Outcome(state="collected", reason="the capture was killed and left no counters: loss is not known")
    if lost.dropped_kernel or lost.dropped_interface:
        packets = lost.dropped_kernel + lost.dropped_interface
        reason = f"the ring lost {packets} packets, in which file is not known"
        return Outcome(state="collected", reason=reason)
    if not summary.packets:
        return Outcome(state="empty", reason="no packet passed while this file was written")
    return Outcome(state="collected")


def _capture_outcome(
    path: Path, summary: CaptureSummary, settings: PacketSettings, facts: _Facts, *, said: str
) -> Outcome:
    if not summary.interfaces:
        return Outcome(state="failed", reason=cut(said or "there is no capture"))
    if facts.lost is None or not summary.whole:
        reason = "the capture did not end in order: it was killed, or the disk is full"
        return Outcome(state="truncated", reason=cut(said or reason))
    if path.stat().st_size >= settings.capture_max_kib * 1024:
        return Outcome(state="truncated", reason=f"ended at its limit of {settings.capture_max_kib} KiB")
    if facts.gaps:
        return Outcome(state="truncated", reason=facts.gaps[0].reason)
    if not summary.packets:
        return Outcome(state="empty", reason="no packet passed during the capture")
    cut_off = facts.lost.cut_off
    return Outcome(
        state="collected", reason=f"{cut_off} packets of its last moment were not written any more" if cut_off else ""
    )


def _cut_short(capture: FullCapture, path: Path, log: Path, settings: PacketSettings) -> tuple[Gap, ...]:
    """From where a capture ended before its time until then."""
    if not path.exists():
        return ()
    last = max(found.stat().st_mtime for found in (path, log) if found.exists())
    at, due = datetime.fromtimestamp(last, UTC), capture.begun_at + timedelta(seconds=capture.seconds)
    if due - at < _EARLY:
        return ()
    full = path.stat().st_size >= settings.capture_max_kib * 1024
    why = f"ended at its limit of {settings.capture_max_kib} KiB" if full else "it ended before its time"
    return (Gap(started=at, ended=due, reason=cut(complaint(log) or why)),)


def _acquisition(path: Path, summary: CaptureSummary, facts: _Facts, settings: PacketSettings) -> Acquisition:
    at = datetime.fromtimestamp(path.stat().st_mtime, UTC) if path.exists() else datetime.now(UTC)
    used: Tool = tool("tcpdump" if "tcpdump" in facts.command else "dumpcap")
    lost = facts.lost
    return Acquisition(
        tool=used.name,
        tool_version=used.version,
        tool_sha256=used.sha256,
        command=few_words(facts.command, COMMAND_LENGTH),
        filter=cut(settings.capture_filter, COMMAND_LENGTH),
        linktype=cut(",".join(_LINKTYPES.get(i.linktype, str(i.linktype)) for i in summary.interfaces)),
        started=plausible(summary.first or at, at),
        ended=plausible(summary.last or at, at),
        clock_offset_ms=facts.clock.offset_ms,
        kernel=used.kernel,
        packets_received=countable(summary.received),
        packets_dropped_kernel=countable(lost.dropped_kernel) if lost else None,
        packets_dropped_interface=countable(lost.dropped_interface) if lost else None,
        packets_captured=summary.packets,
        truncated=not summary.whole,
        exit_status=facts.exit_status,
        gaps=facts.gaps,
    )


def _with_clock(outcome: Outcome, clock: ClockError) -> Outcome:
    return Outcome(state=outcome.state, reason="; ".join(filter(None, (outcome.reason, clock.reason))))


def _prefix(key: str) -> str:
    return f"{key}-" if key else ""


def _artefact(
    label: str,
    path: Path | None,
    outcome: Outcome,
    acquisition: Acquisition,
    facts: _Facts,
    settings: PacketSettings,
) -> Artefact:
    older = path is not None and path.suffix != ".pcapng"
    return Artefact(
        label=label,
        kind="packets",
        name=f"{label}.{'pcap' if older else 'pcapng'}",
        media_type=PCAP_MEDIA_TYPE if older else PACKETS_MEDIA_TYPE,
        outcome=outcome,
        acquisition=acquisition,
        volatility_rank=RANK,
        path=path,
        interfaces=tuple(link.name for link in facts.links) or settings.interfaces,
        links=facts.links,
        netns_inode=facts.netns_inode,
    )
