"""Captures as items of evidence: counted, with every counter of loss.

Owns reading dumpcap's files and log into acquisition facts. A ring's files share the counters of their
session: what the session lost can't be told apart by file, so only a session without loss proves it for
each.

    ring_artefacts(folder, settings)     # -> one Artefact a file, in the order they were written
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from activities.contracts.evidence import Acquisition, Outcome
from activities.host.artefacts import PACKETS_MEDIA_TYPE, Artefact, Tool, tool
from activities.host.capture import Counters, PacketSettings, complaint, counters
from activities.host.frozen import Freeze, FullCapture, IncidentFolder
from activities.host.packet_ring import COMMAND_FILE, LOG_FILE, packet_files
from activities.host.pcapng import CaptureSummary, summarize

RANK = 4  # RFC 3227, 2.1: after sockets and processes, before the disk
_LINKTYPES = {0: "NULL", 1: "EN10MB", 101: "RAW", 113: "LINUX_SLL", 276: "LINUX_SLL2"}


def ring_artefacts(folder: IncidentFolder, settings: PacketSettings) -> Iterator[Artefact]:
    """Every frozen file of the ring."""
    number = 0
    for session in folder.ring_sessions():
        command = tuple((session / COMMAND_FILE).read_text(encoding="utf-8").split("\n"))
        for path in packet_files(session):
            number += 1
            yield _ring_artefact(path, number, command, settings)


def no_ring(freeze: Freeze, settings: PacketSettings) -> Artefact:
    """That there was no ring to freeze."""
    reason = freeze.status.packets_reason or "the flight recorder is off, or has only just begun"
    state = freeze.status.packets
    acquisition = Acquisition(tool="dumpcap", started=freeze.frozen_at, ended=freeze.frozen_at)
    outcome = Outcome(state="failed" if state == "failed" else "missing", reason=reason)
    return _artefact("ring", None, outcome, acquisition, settings)


def capture_artefact(folder: IncidentFolder, capture: FullCapture, settings: PacketSettings) -> Artefact:
    """A full-length capture that has ended, in whatever way."""
    path = folder.path / capture.file
    summary = summarize(path) if path.exists() else CaptureSummary()
    log = path.with_suffix(".log")
    lost = counters(log)
    if lost is None and summary.closed:
        lost = Counters(summary.received or 0, summary.dropped or 0, 0)
    acquisition = _acquisition(path, summary, lost, capture.command, settings)
    outcome = _capture_outcome(path, summary, settings, said=complaint(log))
    if outcome.state == "collected" and lost and lost.cut_off:
        reason = f"{lost.cut_off} packets of its last moment were not written any more"
        outcome = Outcome(state="collected", reason=reason)
    return _artefact(path.stem, path if path.exists() else None, outcome, acquisition, settings)


def no_capture(freeze: Freeze | None, settings: PacketSettings) -> Artefact:
    """That no full-length capture was begun."""
    now = datetime.now(UTC)
    reason = freeze.capture_reason if freeze else "nothing was frozen for this incident on this host"
    outcome = Outcome(state="failed" if freeze else "missing", reason=reason)
    acquisition = Acquisition(tool="dumpcap", started=now, ended=now)
    return _artefact("capture", None, outcome, acquisition, settings)


def _ring_artefact(path: Path, number: int, command: tuple[str, ...], settings: PacketSettings) -> Artefact:
    summary = summarize(path)
    lost = counters(path.parent / LOG_FILE)
    proven = lost is not None and lost.dropped_kernel == lost.dropped_interface == 0
    acquisition = _acquisition(path, summary, lost if proven else None, command, settings)
    return _artefact(f"ring-{number:04d}", path, _ring_outcome(summary, lost), acquisition, settings)


def _ring_outcome(summary: CaptureSummary, lost: Counters | None) -> Outcome:
    if not summary.whole:
        return Outcome(state="truncated", reason="the file ends within a packet: dumpcap was killed")
    if lost is None:
        return Outcome(state="collected", reason="dumpcap was killed and left no counters: loss is not known")
    if lost.dropped_kernel or lost.dropped_interface:
        packets = lost.dropped_kernel + lost.dropped_interface
        reason = f"the ring lost {packets} packets, in which file is not known"
        return Outcome(state="collected", reason=reason)
    if not summary.packets:
        return Outcome(state="empty", reason="no packet passed while this file was written")
    return Outcome(state="collected")


def _capture_outcome(path: Path, summary: CaptureSummary, settings: PacketSettings, *, said: str) -> Outcome:
    if not summary.interfaces:
        return Outcome(state="failed", reason=said or "dumpcap left no capture")
    if not summary.closed or not summary.whole:
        reason = "the capture did not end in order: it was killed, or the disk is full"
        return Outcome(state="truncated", reason=said or reason)
    if path.stat().st_size >= settings.capture_max_kib * 1024:
        return Outcome(state="truncated", reason=f"ended at its limit of {settings.capture_max_kib} KiB")
    if not summary.packets:
        return Outcome(state="empty", reason="no packet passed during the capture")
    return Outcome(state="collected")


def _acquisition(
    path: Path,
    summary: CaptureSummary,
    lost: Counters | None,
    command: tuple[str, ...],
    settings: PacketSettings,
) -> Acquisition:
    ended = datetime.fromtimestamp(path.stat().st_mtime, UTC) if path.exists() else datetime.now(UTC)
    used: Tool = tool("dumpcap")
    return Acquisition(
        tool=used.name,
        tool_version=used.version,
        tool_sha256=used.sha256,
        command=command,
        filter=settings.capture_filter,
        linktype=",".join(_LINKTYPES.get(i.linktype, str(i.linktype)) for i in summary.interfaces),
        started=summary.first or ended,
        ended=summary.last or ended,
        kernel=used.kernel,
        packets_received=summary.received,
        packets_dropped_kernel=lost.dropped_kernel if lost else None,
        packets_dropped_interface=lost.dropped_interface if lost else None,
        packets_captured=summary.packets,
        truncated=not summary.whole,
    )


def _artefact(
    label: str, path: Path | None, outcome: Outcome, acquisition: Acquisition, settings: PacketSettings
) -> Artefact:
    return Artefact(
        label=label,
        kind="packets",
        name=f"{label}.pcapng",
        media_type=PACKETS_MEDIA_TYPE,
        outcome=outcome,
        acquisition=acquisition,
        volatility_rank=RANK,
        path=path,
        interfaces=settings.interfaces,
    )
