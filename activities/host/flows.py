"""Shipping a host's flows to the SIEM: denials from ulogd's file, connections from the kernel.

Owns a bounded buffer between the two and a thread that empties it. Never blocks whoever hands events in,
never stops for a SIEM that is away: the oldest flows are dropped then, and counted. A flood of the same
flow becomes some single documents and one that counts the rest.

    shipper = FlowShipper(siem_client(url), DenialTail(path, memory), FlowHost("9f2c...", "web"))
    shipper.start()
    shipper.offer(events)      # kernel events, from any thread
    shipper.stop()
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from elasticsearch import ApiError, Elasticsearch, TransportError

from activities.host.denial_tail import DenialTail
from activities.host.flow_documents import Connections, Document, FlowHost, denial, flow_key
from activities.siem.templates import FLOWS

log = structlog.get_logger(__name__)
POLL_SECONDS = 0.15
MAX_BUFFERED = 10_000
MAX_BULK = 1_000
# So many documents of one flow in one flush: enough for any threshold, little enough for a flood.
MAX_SINGLE = 20
_REQUEST_SECONDS = 3.0
_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 0.2, 5.0
# Of a whole request: sending the same again can't help.
_HOPELESS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})


@dataclass
class FlowCounts:
    """What became of flows. `folded`: counted in another's document; `dropped`: no room for them here."""

    shipped: int = 0
    folded: int = 0
    dropped: int = 0
    refused: int = 0
    unreadable: int = 0


class FlowShipper:
    """One host's shipper; `offer` from any thread, everything else happens in its own."""

    def __init__(
        self, siem: Elasticsearch, tail: DenialTail, host: FlowHost, *, max_buffered: int = MAX_BUFFERED
    ) -> None:
        self._siem = siem.options(request_timeout=_REQUEST_SECONDS)
        self._tail, self._host = tail, host
        self._connections = Connections(host)
        self._offered: deque[Document] = deque(maxlen=max_buffered)
        self._buffer: deque[tuple[str, Document]] = deque()
        self._max_buffered = max_buffered
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flows", daemon=True)
        self.counts = FlowCounts()

    def start(self) -> None:
        """Begin shipping."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Ship what is there, once, and end."""
        self._stopping.set()
        self._thread.join(timeout)

    def offer(self, events: Iterable[Document]) -> None:
        """Take kernel events; never blocks."""
        for event in events:
            if event.get("event") == "connection":
                if len(self._offered) == self._offered.maxlen:
                    self.counts.dropped += 1
                self._offered.append(event)

    def _run(self) -> None:
        pause, not_before = _PAUSE_SECONDS, 0.0
        while not self._stopping.wait(POLL_SECONDS):
            self._gather()
            if time.monotonic() < not_before:
                continue
            if self._flush():
                pause = _PAUSE_SECONDS
            else:
                not_before = time.monotonic() + pause
                pause = min(pause * 2, _PAUSE_SECONDS_MAX)
        self._gather()
        self._flush()
        self._tail.close()

    def _gather(self) -> None:
        """Everything that is new, folded, into the buffer."""
        found: list[tuple[str, Document]] = []
        try:
            lines = self._tail.read()
        except OSError as error:
            log.warning("the denials can't be read", error=str(error))
            lines = []
        for line in lines:
            document = denial(line.content, self._host)
            if document is None:
                self.counts.unreadable += 1
            else:
                found.append((f"{self._host.host_id[:12]}-{line.place}", document))
        while self._offered:
            document = self._connections.read(self._offered.popleft())
            if document is not None:
                found.append(("", document))
        self._buffer.extend(self._fold(found))
        while len(self._buffer) > self._max_buffered:
            self._buffer.popleft()
            self.counts.dropped += 1

    def _fold(self, found: Sequence[tuple[str, Document]]) -> list[tuple[str, Document]]:
        """At most so many documents of one flow; the last of them counts the packets of the rest."""
        kept: list[tuple[str, Document]] = []
        seen: Counter[tuple[Any, ...]] = Counter()
        last: dict[tuple[Any, ...], Document] = {}
        for name, document in found:
            key = flow_key(document)
            seen[key] += 1
            if seen[key] <= MAX_SINGLE:
                kept.append((name, document))
                last[key] = document
            else:
                network = last[key]["network"]
                network["packets"] = network.get("packets", 1) + 1
                self.counts.folded += 1
        return kept

    def _flush(self) -> bool:
        """Ship the buffer; False when the SIEM is away, and everything not shipped is still there."""
        busy = bool(self._buffer)
        while self._buffer:
            batch = [self._buffer[index] for index in range(min(MAX_BULK, len(self._buffer)))]
            try:
                answer = self._siem.bulk(index=FLOWS, operations=_operations(batch))
            except (ApiError, TransportError) as error:
                log.info("the SIEM does not take flows", error=str(error)[:200], waiting=len(self._buffer))
                if not _is_hopeless(error):
                    return False
                self.counts.refused += len(batch)
            else:
                self._account(answer["items"])
            for _ in batch:
                self._buffer.popleft()
        if busy:
            self._remember()
        return True

    def _account(self, items: Sequence[dict[str, Any]]) -> None:
        for item in items:
            status = int(item["create"]["status"])
            # There already: an earlier agent shipped it and was killed before it could note that.
            taken = status in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.CONFLICT)
            self.counts.shipped += taken
            self.counts.refused += not taken

    def _remember(self) -> None:
        try:
            self._tail.remember()
        except OSError as error:
            log.warning("the place in the denials can't be kept", error=str(error))


def _is_hopeless(error: ApiError | TransportError) -> bool:
    return isinstance(error, ApiError) and error.status_code in _HOPELESS


def _operations(batch: Sequence[tuple[str, Document]]) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for name, document in batch:
        lines += [{"create": {"_id": name} if name else {}}, document]
    return lines
