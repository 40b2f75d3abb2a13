"""What orders of evidence do on this host: freeze, wait for the capture, collect volatile state.

Owns the three activities and their being repeatable: an incident's folder remembers what was handed over,
so that a retry, or a later agent, returns the same items. Never fails for one item; its outcome says what
became of it.

    evidence = HostEvidence(recorder, EvidenceSender(facts, uploader), VolatileCollector(facts))
    Worker(..., activities=[evidence.freeze_recorder, evidence.finish_capture, evidence.collect_volatile])
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from temporalio import activity

from activities.contracts.evidence import (
    CaptureOrder,
    Collected,
    CollectVolatileOrder,
    FreezeOrder,
)
from activities.host.artefacts import Artefact, EvidenceSender
from activities.host.event_items import events_artefact
from activities.host.frozen import Freeze, FullCapture, IncidentFolder
from activities.host.packet_items import capture_artefact, no_capture, no_ring, ring_artefacts
from activities.host.recorder import FlightRecorder
from activities.host.volatile import VolatileCollector

_POLL_SECONDS = 0.05
# dumpcap looks at its clock a few times a second; later than this it hangs.
_GRACE_SECONDS = 3.0


class HostEvidence:
    """The evidence activities of one host; safe for threads."""

    def __init__(self, recorder: FlightRecorder, sender: EvidenceSender, volatile: VolatileCollector) -> None:
        self._recorder, self._sender, self._volatile = recorder, sender, volatile
        self._naming = threading.Lock()

    @activity.defn(name="freeze_recorder")
    def freeze_recorder(self, order: FreezeOrder) -> Collected:
        """What was recorded before, in the vault; the full-length capture goes on."""
        freeze = self._recorder.freeze(order.header.incident_id, order.capture_seconds)
        folder = self._recorder.incident(order.header.incident_id)
        return self._once(folder, "freeze-items", lambda: self._frozen(folder, freeze))

    @activity.defn(name="finish_capture")
    def finish_capture(self, order: CaptureOrder) -> Collected:
        """Wait for the full-length capture, then bring it and the events of its time to the vault."""
        folder = self._recorder.incident(order.header.incident_id)
        folder.make()
        return self._once(folder, "capture-items", lambda: self._captured(folder))

    @activity.defn(name="collect_volatile")
    def collect_volatile(self, order: CollectVolatileOrder) -> Collected:
        """Sockets, processes and the like, most volatile first, within the budget."""
        deadline = time.monotonic() + order.budget_seconds
        folder = self._recorder.incident(order.header.incident_id)
        with self._naming:
            documents = folder.volatile(order.header.order_id)
        name = f"{documents.name}-items"
        return self._once(folder, name, lambda: self._volatile.collect(order.collect, documents, deadline))

    def _once(self, folder: IncidentFolder, name: str, collect: Callable[[], Iterable[Artefact]]) -> Collected:
        """The items as they were handed over, or handed over now; kept once all of them are in the vault."""
        known = folder.read(name, Collected)
        if known is not None:
            return known
        items = []
        for artefact in collect():
            _heartbeat()
            items.append(self._sender.hand_over(folder.incident_id, artefact))
        collected = Collected(items=tuple(items))
        if all(item.storage is not None or item.sha256 is None for item in items):
            folder.write(name, collected)
        return collected

    def _frozen(self, folder: IncidentFolder, freeze: Freeze) -> Iterator[Artefact]:
        packets = list(ring_artefacts(folder, self._recorder.settings.packets))
        yield from packets or [no_ring(freeze, self._recorder.settings.packets)]
        yield events_artefact("events-before", folder.events_before, freeze)

    def _captured(self, folder: IncidentFolder) -> Iterator[Artefact]:
        settings = self._recorder.settings.packets
        freeze, captures = folder.read("freeze", Freeze), folder.captures()
        for capture in captures:
            _wait_for_end(capture)
            yield capture_artefact(folder, capture, settings)
        if not captures:
            yield no_capture(freeze, settings)
        if freeze is not None:
            reason = self._recorder.gather_events(folder.incident_id)
            yield events_artefact("events-after", folder.events_after, freeze, reason=reason)


def _wait_for_end(capture: FullCapture) -> None:
    """Until its process ended by itself; one that hangs is ended in order, then for good."""
    overdue = (datetime.now(UTC) - capture.begun_at).total_seconds() - capture.seconds
    deadline = time.monotonic() + _GRACE_SECONDS - overdue
    for end in (None, signal.SIGINT, signal.SIGKILL):
        if end is not None and capture.running:
            os.kill(capture.pid, end)
            deadline = time.monotonic() + _GRACE_SECONDS
        while capture.running and time.monotonic() < deadline:
            _heartbeat()
            time.sleep(_POLL_SECONDS)


def _heartbeat() -> None:
    if activity.in_activity():
        activity.heartbeat()
