"""The flight recorder's kernel events: from bpftrace into the ring on disk, and from there to an incident.

Owns that what is told is kept and what is lost is counted, and starting bpftrace again when it does not tell any more.
Never looks at packets. Every method belongs to the recorder's thread, but `status` and `wait_until_running`.

    events = EventRecorder(folder, EventLimits(), host="web", on_events=shipper.offer)
    events.start()
    events.tend(hold=False)       # once a second
    events.freeze(target)         # -> "000000007-20260102T030405Z.jsonl", "": the last segment that is in the target
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from activities.host.ebpf import KernelEvents, State
from activities.host.event_ring import EventLimits, EventRing, join, number_of
from activities.host.kernel_events import lost
from activities.host.observe import own_netns
from activities.host.retrying import Retry
from segmentation.workloads import Name

Document = dict[str, Any]
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class EventStatus:
    """How it is doing, and how many events came and were lost since the agent began."""

    state: State
    reason: str
    seen: int
    lost: int


class EventRecorder:
    """One host's kernel events."""

    def __init__(
        self, folder: Path, limits: EventLimits, host: Name, on_events: Callable[[Sequence[Document]], None]
    ) -> None:
        self._host, self._on_events = host, on_events
        self._ring = EventRing(folder / "events", limits, self._preamble)
        self._source = KernelEvents(folder / "bpftrace", self._keep)
        self._seen = self._lost = self._owed = 0
        self._retry = Retry()

    @property
    def command(self) -> tuple[str, ...]:
        """The command line that the events come from."""
        return self._source.command

    def start(self) -> None:
        """Begin; events come after about two seconds."""
        self._source.start()

    def stop(self) -> None:
        """End in order; what was seen is on disk."""
        self._source.stop()
        self._ring.rotate()

    def status(self) -> EventStatus:
        """From any thread."""
        return EventStatus(self._source.state, self._source.reason, self._seen, self._lost)

    def wait_until_running(self, timeout: float) -> bool:
        """Whether every probe is attached; from any thread."""
        return self._source.wait_until_running(timeout)

    def tend(self, *, hold: bool) -> None:
        """Forget what is too old, unless it is on hold for an incident; start again what ended."""
        self._ring.prune(hold=hold)
        if self._source.state == "failed" and self._retry.due(failed=True):
            log.warning("kernel events are started again", reason=self._source.reason)
            self._source.retry()

    def freeze(self, target: Path) -> tuple[str, str]:
        """Everything until now in one file; the name of its last segment, or why there is no such file.

        A disk that has no room for it must not cost the packets, which take none. The ring still has the events then,
        and `gather_since` nothing brings all of them.
        """
        try:
            self._ring.rotate()
            segments = self._ring.closed()
            join(segments, target)
        except OSError as error:
            log.warning("kernel events could not be frozen", reason=str(error))
            return "", f"they could not be brought together: {error}"
        return segments[-1].name if segments else "", ""

    def gather_since(self, last_segment: str, target: Path) -> str:
        """Everything since that segment in one file; why some is missing, if so."""
        self._ring.rotate()
        since = number_of(Path(last_segment)) if last_segment else 0
        segments = [path for path in self._ring.closed() if number_of(path) > since]
        join(segments, target)
        missing = number_of(segments[0]) - since - 1 if segments and since else 0
        return f"{missing} segments were forgotten: more events came than the ring holds" if missing else ""

    def _preamble(self) -> Document:
        return {
            "host": self._host,
            "at": datetime.now(UTC).isoformat(timespec="microseconds"),
            "netns_inode": own_netns(),
            "programs": list(self._source.programs),
        }

    def _keep(self, documents: Sequence[Document]) -> None:
        self._seen += len(documents)
        self._lost += sum(map(lost, documents))
        self._write(documents)
        self._on_events(documents)

    def _write(self, documents: Sequence[Document]) -> None:
        """A full disk costs the events of its time, which are told as lost with the first that are written again."""
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        owed = [{"at": now, "event": "lost", "count": self._owed}] if self._owed else []
        try:
            self._ring.append([*owed, *documents])
        except OSError as error:
            if not self._owed:
                log.warning("kernel events can't be written", reason=str(error))
            self._owed += len(documents)
            self._lost += len(documents)
            return
        self._owed = 0
