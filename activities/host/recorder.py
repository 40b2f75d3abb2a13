"""The flight recorder: what happened on this host before anybody asked.

Owns the rings of packets, their supervision and that of `event_recorder`, and the freeze that makes both an incident's
first evidence while recording goes on. Never uploads and never decides: `activities.host.collection` does
what orders say. Off unless the settings turn it on; a freeze still begins a full-length capture then.

Its bounds: files by size, number and age; a kernel buffer for each interface; no more disk than leaves the reserve. Of
the processor it takes what others leave (nice); `CPUQuota=` in the agent's unit bounds the agent with all its children.

    recorder = FlightRecorder(state_dir / "recorder", settings, host="web")
    recorder.start()
    frozen = recorder.freeze("inc-1", capture_seconds=30)   # the same again for the same incident
    recorder.stop()
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog
from pydantic import Field

from activities.host.capture import Capture, complaint
from activities.host.capture_tools import PacketSettings
from activities.host.clock import Ages, boot_ns
from activities.host.ebpf import State
from activities.host.event_recorder import EventRecorder
from activities.host.event_ring import EventLimits
from activities.host.frozen import Freeze, IncidentFolder, RecorderStatus, forget_old
from activities.host.full_captures import FullCaptures
from activities.host.packet_ring import START_SECONDS, PacketRing, rings
from activities.host.retrying import Retry
from activities.host.standing import read_boot_id
from segmentation.workloads import Frozen, Name

PERMISSIONS = ("CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON")
TICK_SECONDS = 1.0
Document = dict[str, Any]
T = TypeVar("T")
log = structlog.get_logger(__name__)


class RecorderSettings(Frozen):
    """What the flight recorder keeps, and for how long."""

    enabled: bool = Field(default=False, description="Off by default: it keeps everybody's packets.")
    packets: PacketSettings
    namespaces: tuple[PacketSettings, ...] = Field(
        default=(), description="Other network namespaces of this host, such as a container's."
    )
    kernel_events: bool = Field(default=True, description="Run bpftrace beside dumpcap.")
    events: EventLimits = EventLimits()
    max_age_seconds: int = Field(default=900, ge=10, description="Older packets are forgotten.")
    keep_frozen_seconds: int = Field(default=86_400, ge=60, description="Copies of what the vault has.")


class FlightRecorder:
    """One host's recorder. A thread of its own starts and ends every process; `stop` must be called."""

    def __init__(
        self,
        folder: Path,
        settings: RecorderSettings,
        host: Name,
        on_events: Callable[[Sequence[Document]], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self._folder = folder
        self.rings = rings(folder, (settings.packets, *settings.namespaces), settings.max_age_seconds)
        self._events = EventRecorder(folder, settings.events, host, on_events)
        self.captures = FullCaptures(host)
        self._frozen_ages = Ages(settings.keep_frozen_seconds)
        self._retries = {ring.key: Retry() for ring in self.rings}
        self._hands = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._supervise, name="recorder-watch", daemon=True)

    def start(self) -> None:
        """Begin recording; returns once packets are kept, some hundredths of a second later."""
        if self.settings.enabled:
            self._in_hand(self._begin)
        self._watch.start()

    def stop(self) -> None:
        """End the rings in order. Full-length captures go on and end by themselves."""
        self._stopping.set()
        self._watch.join()
        self._in_hand(self._end)
        self._hands.shutdown()

    def freeze(self, incident_id: Name, capture_seconds: int) -> Freeze:
        """Close the rings for an incident and begin its full-length capture, without a gap. Once each."""
        return self._in_hand(lambda: self._freeze(self.incident(incident_id), capture_seconds))

    def gather_events(self, incident_id: Name) -> str:
        """Bring the events since the freeze into the incident's folder, once; why some are missing, if so."""
        return self._in_hand(lambda: self._gather_events(self.incident(incident_id)))

    def incident(self, incident_id: Name) -> IncidentFolder:
        """What this host keeps of an incident."""
        return IncidentFolder(self._folder / "incidents" / incident_id, incident_id)

    def status(self) -> RecorderStatus:
        """How it is doing; from any thread."""
        off = [ring for ring in self.rings if not ring.running]
        failed: State = "failed" if self.settings.enabled else "off"
        events = self._events.status()
        reasons = [f"{ring.key}: {ring.reason}" if ring.key else ring.reason for ring in off]
        return RecorderStatus(
            packets=failed if off else "running",
            packets_reason="; ".join(reasons) if self.settings.enabled else "",
            ring_bytes=sum(ring.size_bytes() for ring in self.rings),
            events=events.state,
            events_reason=events.reason,
            events_seen=events.seen,
            events_lost=events.lost,
        )

    def wait_until_recording(self, timeout: float) -> RecorderStatus:
        """Wait for both rings; bpftrace takes about two seconds. Returns how it came out."""
        if self.settings.enabled and self.settings.kernel_events:
            self._events.wait_until_running(timeout)
        return self.status()

    def _in_hand(self, work: Callable[[], T]) -> T:
        return self._hands.submit(work).result()

    def _begin(self) -> None:
        if self.settings.kernel_events:
            self._events.start()
        for ring in self.rings:
            if not ring.begin():
                log.warning("a packet ring does not run", ring=ring.key or "own", reason=ring.reason)

    def _end(self) -> None:
        for ring in self.rings:
            ring.end()
        self._events.stop()

    def _freeze(self, folder: IncidentFolder, seconds: int) -> Freeze:
        known = folder.read("freeze", Freeze)
        if known is not None:
            return known
        folder.make()
        begun = [self.captures.begin(folder, ring, seconds, len(self.rings)) for ring in self.rings]
        for ring, (capture, _) in zip(self.rings, begun, strict=True):
            if self.settings.enabled:
                ring.succeed([capture] if capture else [])
            elif capture is not None:
                capture.wait_until_capturing(START_SECONDS)
            folder.take_packets(ring.closed(), ring.key)
        last_segment, events_missing = self._events.freeze(folder.events_before)
        freeze = Freeze(
            incident_id=folder.incident_id,
            frozen_at=datetime.now(UTC),
            seconds=seconds,
            capture_reasons={
                ring.key: reason or _said(capture) for ring, (capture, reason) in zip(self.rings, begun, strict=True)
            },
            boot_id=read_boot_id(),
            boot_ns=boot_ns(),
            status=self.status(),
            last_segment=last_segment,
            events_command=self._events.command,
            events_missing=events_missing,
        )
        folder.write("freeze", freeze)
        return freeze

    def _gather_events(self, folder: IncidentFolder) -> str:
        freeze = folder.read("freeze", Freeze)
        if freeze is None or folder.events_after.exists():
            return ""
        return self._events.gather_since(freeze.last_segment, folder.events_after)

    def _supervise(self) -> None:
        while not self._stopping.wait(TICK_SECONDS):
            try:
                self._in_hand(self._tend)
            except RuntimeError:  # no thread to be had for the moment
                log.exception("the recorder could not be tended")

    def _tend(self) -> None:
        self.captures.tend()
        parts: list[Callable[[], None]] = [partial(self._tend_ring, ring) for ring in self.rings]
        parts.append(lambda: self._events.tend(hold=self.captures.any_running))
        parts.append(lambda: forget_old(self._folder / "incidents", self._frozen_ages.horizon()))
        for part in parts:
            try:
                part()
            except Exception:  # nobody else looks after the others, nor after this one in a second
                log.exception("a part of the recorder could not be tended")

    def _tend_ring(self, ring: PacketRing) -> None:
        if not self.settings.enabled:
            ring.prune()
            return
        ring.tend()
        if self._retries[ring.key].due(failed=not ring.running):
            ring.begin()


def _said(capture: Capture | None) -> str:
    return complaint(capture.log) if capture and not capture.running else ""
