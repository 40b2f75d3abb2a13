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
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice

import structlog
from temporalio import activity

from activities.contracts.collecting import MAX_ITEMS, CaptureOrder, Collected, CollectVolatileOrder, FreezeOrder
from activities.contracts.evidence import CollectedItem, Outcome
from activities.contracts.orders import Order
from activities.host.artefacts import Artefact, EvidenceSender
from activities.host.event_items import events_artefact
from activities.host.frozen import Freeze, FullCapture, IncidentFolder
from activities.host.packet_items import capture_artefact, no_capture, no_ring, not_frozen, ring_artefacts
from activities.host.recorder import FlightRecorder
from activities.host.upload_errors import UploadFailed
from activities.host.volatile import VolatileCollector
from segmentation.workloads import Name

_POLL_SECONDS = 0.05
# The tools look at their clock a few times a second; later than this they hang.
_GRACE_SECONDS = 3.0
# Longer than a try takes where the vault is away: the patience of one upload, and the few that are tried once after it.
LAST_TRY = timedelta(minutes=3)
_TRIES_IN_VAIN = 3
log = structlog.get_logger(__name__)


class HostEvidence:
    """The evidence activities of one host; safe for threads."""

    def __init__(self, recorder: FlightRecorder, sender: EvidenceSender, volatile: VolatileCollector) -> None:
        self._recorder, self._sender, self._volatile = recorder, sender, volatile
        self._naming = threading.Lock()

    @activity.defn(name="freeze_recorder")
    def freeze_recorder(self, order: FreezeOrder) -> Collected:
        """What was recorded before, in the vault; the full-length capture goes on."""
        try:
            freeze = self._recorder.freeze(order.header.incident_id, order.capture_seconds)
        except OSError as error:
            # A full disk costs evidence; whoever waits for it to contain the host must not wait for the disk.
            return self._not_frozen(order.header.incident_id, str(error))
        folder = self._recorder.incident(order.header.incident_id)
        return self._once(folder, "freeze-items", order, lambda: self._frozen(folder, freeze))

    @activity.defn(name="finish_capture")
    def finish_capture(self, order: CaptureOrder) -> Collected:
        """Wait for the full-length capture, then bring it and the events of its time to the vault."""
        folder = self._recorder.incident(order.header.incident_id)
        folder.make()
        return self._once(folder, "capture-items", order, lambda: self._captured(folder))

    @activity.defn(name="collect_volatile")
    def collect_volatile(self, order: CollectVolatileOrder) -> Collected:
        """Sockets, processes and the like, most volatile first, within the budget."""
        folder = self._recorder.incident(order.header.incident_id)
        with self._naming:
            documents = folder.volatile(order.continues or order.header.order_id)

        def collect() -> Iterable[Artefact]:
            return self._volatile.collect(order, documents, time.monotonic() + order.budget_seconds, _heartbeat)

        return self._once(folder, f"{documents.name}-items", order, collect)

    def _once(
        self, folder: IncidentFolder, name: str, order: Order, collect: Callable[[], Iterable[Artefact]]
    ) -> Collected:
        """The items as they were handed over, or handed over now; kept once all of them are in the vault.

        Raises:
            UploadFailed: the vault is away. The rest was handed over, and the order's time allows another try.
        """
        with folder.alone(name, _heartbeat):
            known = folder.read(name, Collected)
            if known is not None:
                return known
            artefacts = at_most(MAX_ITEMS, collect())
            collected = Collected(items=tuple(self._handed_over(folder.incident_id, artefacts, order)))
            if all(item.storage is not None or item.sha256 is None for item in collected.items):
                _remember(folder, name, collected)
            return collected

    def _handed_over(self, incident_id: Name, artefacts: Iterable[Artefact], order: Order) -> list[CollectedItem]:
        """Each whatever becomes of the others, but with patience for one alone: the vault is away for all of them."""
        items: list[CollectedItem] = []
        postponed: list[tuple[int, Artefact, UploadFailed]] = []
        in_vain = 0
        for place, artefact in enumerate(artefacts):
            _heartbeat()
            if in_vain == _TRIES_IN_VAIN and artefact.path is not None:
                postponed.append((place, artefact, postponed[-1][2]))
                continue
            try:
                items.append(self._sender.hand_over(incident_id, artefact, once=bool(postponed)))
                in_vain = in_vain if artefact.path is None else 0
            except UploadFailed as error:
                postponed.append((place, artefact, error))
                in_vain += 1
        if postponed and _time_left(order):
            raise postponed[0][2]
        for place, artefact, why in postponed:
            items.insert(place, self._sender.lost(artefact, why))
        return items

    def _not_frozen(self, incident_id: Name, reason: str) -> Collected:
        """Every ring as failed; not kept, so that the next try may find better."""
        artefacts = [not_frozen(reason, ring.settings, ring.key) for ring in self._recorder.rings]
        return Collected(items=tuple(self._sender.hand_over(incident_id, artefact) for artefact in artefacts))

    def _frozen(self, folder: IncidentFolder, freeze: Freeze) -> Iterator[Artefact]:
        most = max(1, (MAX_ITEMS - 1) // len(self._recorder.rings))
        for ring in self._recorder.rings:
            packets = list(ring_artefacts(folder, ring.settings, freeze, ring.key, most=most))
            yield from packets or [no_ring(freeze, ring.settings, ring.key)]
        yield events_artefact("events-before", folder.events_before, freeze)

    def _captured(self, folder: IncidentFolder) -> Iterator[Artefact]:
        freeze, captures = folder.read("freeze", Freeze), folder.captures()
        for ring in self._recorder.rings:
            mine = [capture for capture in captures if capture.key == ring.key]
            for capture in mine:
                _wait_for_end(capture)
                exit_status = self._recorder.captures.exit_status(capture.pid)
                yield capture_artefact(folder, capture, ring.settings, exit_status)
            if not mine:
                yield no_capture(freeze, ring.settings, ring.key)
        if freeze is not None:
            reason = self._recorder.gather_events(folder.incident_id)
            yield events_artefact("events-after", folder.events_after, freeze, since_freeze=True, reason=reason)


def at_most(number: int, artefacts: Iterable[Artefact]) -> Iterator[Artefact]:
    """The first, and in the last's place how many more there were."""
    found = iter(artefacts)
    yield from islice(found, number - 1)
    last, more = next(found, None), sum(1 for _ in found)
    if last is not None and more:
        reason = f"{more + 1} more are not handed over: a collection has at most {number} items"
        last = replace(last, path=None, outcome=Outcome(state="missing", reason=reason))
    if last is not None:
        yield last


def _remember(folder: IncidentFolder, name: str, collected: Collected) -> None:
    """A disk that is full costs the memory of it alone: the items are in the vault."""
    try:
        folder.write(name, collected)
    except OSError as error:
        log.warning("what was handed over can't be noted: it would be collected again", part=name, error=str(error))


def _time_left(order: Order) -> bool:
    """Whether a vault that is away may be tried again: the last try says what is missing instead."""
    return datetime.now(UTC) + LAST_TRY < order.header.expires_at


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
