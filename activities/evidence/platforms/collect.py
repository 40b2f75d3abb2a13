"""collect_from_platform: what a cluster or an account knows of a target, each thing as one item of evidence.

Owns the order, the time budget and the hand-over. An item never fails its neighbours: collectors run side by side, and
whatever goes wrong with one becomes its outcome. Never knows a platform.

    evidence = PlatformEvidence(open_evidence, vault, state_dir / "evidence")
    Worker(..., activities=[*killswitch.activities, evidence.collect_from_platform])
"""

import contextvars
import hashlib
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

import structlog
from temporalio import activity

from activities.contracts.collecting import MAX_ITEMS
from activities.contracts.evidence import Acquisition, CollectedItem, Outcome, Storage
from activities.contracts.platform_evidence import CollectPlatformOrder, PlatformCollected
from activities.evidence.platforms.collecting import Bound, Found, Opened, Task
from activities.evidence.platforms.folder import OrderFolder, Reading, forget_old
from activities.evidence.vault.layout import host_prefix
from segmentation.bounds import COMMAND_LENGTH, cut, few_words
from segmentation.errors import FirebreakError
from segmentation.workloads import Workload

log = structlog.get_logger(__name__)
AT_ONCE = 6
CALLS_LENGTH = 8 * COMMAND_LENGTH
BEAT_SECONDS = 1.0
# A try that begins later than this before the end of the activity's time may not come to its own end.
LAST_TRY = timedelta(minutes=3)
MAX_ITEM_BYTES = 64 << 20
# A collector that stops in time to say how far it came is worth more than one that is cut off.
WRAP_UP_SECONDS, WRAP_UP_SHARE = 5.0, 0.2
OpenEvidence = Callable[[CollectPlatformOrder], Opened]


class NotHandedOver(FirebreakError):
    """The vault did not take everything; trying again can help."""

    code: ClassVar[str] = "not-handed-over"
    retryable: ClassVar[bool] = True


class Uploader(Protocol):
    """Where artefacts go."""

    def upload(self, incident_id: str, evidence_id: str, name: str, path: Path, sha256: str) -> Storage:
        """Keep the file's bytes."""


class PlatformEvidence:
    """The evidence activity of one platform's worker. `worker` is who its items are from."""

    def __init__(self, open_evidence: OpenEvidence, worker: Workload, uploader: Uploader, root: Path) -> None:
        self._open, self._worker, self._uploader, self._root = open_evidence, worker, uploader, root
        forget_old(root, time.time())

    @activity.defn(name="collect_from_platform")
    def collect_from_platform(self, order: CollectPlatformOrder) -> PlatformCollected:
        """Everything that was asked for, in the vault or with the reason why it is not."""
        deadline = time.monotonic() + order.budget_seconds
        opened = self._open(order)
        folder = OrderFolder(self._root, order)
        with folder.alone(_beat), ThreadPoolExecutor(AT_ONCE, thread_name_prefix="collect") as handing:
            known = folder.result()
            if known is not None:
                return known
            _Collection(order, opened, folder, deadline).run()
            ready = at_most(MAX_ITEMS, folder.readings())
            futures = [handing.submit(self._hand_over, order, opened, folder, reading) for reading in ready]
            _until_done(set(futures), "handing over to the vault")
            handed = [future.result() for future in futures]
            items = tuple(item for item, _ in handed)
            result = PlatformCollected(items=items, nodes=tuple(n for reading in ready for n in reading.nodes))
            if not any(away for _, away in handed):
                folder.finish(result)
            elif _time_left():
                # What was collected is here, and the next try hands over the very same.
                raise NotHandedOver(f"{order.target.name}: not all that was collected is in the vault yet.")
            return result

    def _hand_over(
        self, order: CollectPlatformOrder, opened: Opened, folder: OrderFolder, reading: Reading
    ) -> tuple[CollectedItem, bool]:
        """The item, and whether the vault was away for it: what it refuses it will refuse again."""
        evidence_id = self._evidence_id(order.target, folder.key, reading.label)
        outcome, size, sha256, away = reading.outcome, 0, None, False
        storage: Storage | None = None
        if reading.has_body:
            body = folder.body(reading.label)
            try:
                content = body.read_bytes()
                size, sha256 = len(content), hashlib.sha256(content).hexdigest()
                storage = self._uploader.upload(order.incident_id, evidence_id, reading.name, body, sha256)
            except (OSError, FirebreakError) as error:
                outcome = Outcome(state="failed", reason=cut(f"collected, but not in the vault: {error}"))
                away = isinstance(error, FirebreakError) and error.retryable
        item = CollectedItem(
            evidence_id=evidence_id,
            kind=reading.kind,
            name=reading.name,
            media_type=reading.media_type,
            size=size,
            sha256=sha256,
            outcome=outcome,
            source=opened.source,
            acquisition=reading.acquisition,
            volatility_rank=reading.rank,
            storage=storage,
        )
        return item, away

    def _evidence_id(self, target: Workload, key: str, label: str) -> str:
        """Begins as this worker's do. Bytes under it never change: who lost the folder has another key of its own."""
        prefix = host_prefix(self._worker.name, self._worker.workload_id)
        mark = hashlib.sha256(f"{target.workload_id} {key} {label}".encode()).hexdigest()[:8]
        return f"{prefix}{_cut(target.name, 24)}.{_cut(label, 32)}-{mark}"


class _Collection:
    """The collectors of one order at work."""

    def __init__(self, order: CollectPlatformOrder, opened: Opened, folder: OrderFolder, deadline: float) -> None:
        self._order, self._opened, self._folder, self._deadline = order, opened, folder, deadline
        self._said: dict[str, str] = {}

    def run(self) -> None:
        """Run what is not done yet; returns when all is done or the budget is spent."""
        pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="collect")
        try:
            futures = {
                pool.submit(contextvars.copy_context().run, self._run_one, name, bound): name
                for name, bound in self._opened.collectors.items()
                if not self._folder.is_done(name)
            }
            late = _until_done(set(futures), self._said, self._deadline)
            for future in futures.keys() - late:
                future.result()
            for future in late:
                self._say_late(futures[future], begun=future.running())
        finally:
            # A thread that hangs in a call can't be ended: it is left to its time-out, and what it finds to nobody.
            self._folder.close()
            pool.shutdown(wait=False, cancel_futures=True)

    def _run_one(self, name: str, bound: Bound) -> None:
        started = datetime.now(UTC)
        task = Task(
            self._order.incident_id,
            self._order.target,
            self._order.since,
            self._deadline - min(WRAP_UP_SECONDS, self._order.budget_seconds * WRAP_UP_SHARE),
            self._folder.is_kept,
            partial(self._said.__setitem__, name),
        )
        try:
            for place, found in enumerate(bound.collect(task)):
                self._keep(name, bound, found, place, started)
        except Exception as error:  # noqa: BLE001 - an answer that is not of the form we know costs its own item alone
            log.warning("a collector failed", collector=name, target=self._order.target.name, error=repr(error))
            reason = error.summary if isinstance(error, FirebreakError) else f"{type(error).__name__}: {error}"
            self._keep(name, bound, Found(name, Outcome(state="failed", reason=cut(reason))), 0, started)
        self._folder.set_done(name)

    def _say_late(self, name: str, *, begun: bool) -> None:
        said = f"the time budget of {self._order.budget_seconds} s was spent"
        reason = f"{said} before it was done" if begun else f"{said} before its turn"
        found = Found(name, Outcome(state="missing", reason=reason))
        self._keep(name, self._opened.collectors[name], found, 0, datetime.now(UTC))
        self._folder.set_done(name)

    def _keep(self, name: str, bound: Bound, found: Found, place: int, started: datetime) -> None:
        if found.content is not None and len(found.content) > MAX_ITEM_BYTES:
            reason = f"{len(found.content)} bytes, more than the {MAX_ITEM_BYTES} that one item may have"
            found = Found(found.label, Outcome(state="failed", reason=reason), calls=found.calls)
        acquisition = Acquisition(
            tool=self._opened.tool,
            tool_version=self._opened.tool_version,
            command=few_words(found.calls, CALLS_LENGTH),
            filter=cut(found.bounds, COMMAND_LENGTH),
            started=started,
            ended=datetime.now(UTC),
            events=found.events,
            truncated=found.outcome.state == "truncated",
            gaps=found.gaps,
        )
        reading = Reading(
            collector=name,
            place=place,
            label=found.label,
            name=f"{_cut(found.label, 100)}.{found.suffix}",
            kind=bound.kind,
            media_type=found.media_type,
            outcome=found.outcome,
            acquisition=acquisition,
            rank=bound.rank,
            nodes=found.nodes,
        )
        self._folder.keep(reading, found.content)


def at_most(number: int, readings: list[Reading]) -> list[Reading]:
    """Of the collector that found most one stands for the rest; its last one stays: the list of what it found."""
    if len(readings) <= number:
        return readings
    many = Counter(reading.collector for reading in readings).most_common(1)[0][0]
    *its, _ = (reading for reading in readings if reading.collector == many)
    first, *others = its[-(len(readings) - number + 1) :]
    reason = f"{len(others) + 1} items of {many} are not handed over: a collection has at most {number}"
    instead = first.model_copy(update={"outcome": Outcome(state="missing", reason=reason), "has_body": False})
    return [instead if reading is first else reading for reading in readings if reading not in others]


def _until_done(pending: "set[Future[Any]]", said: object, deadline: float | None = None) -> "set[Future[Any]]":
    """Wait, with a heartbeat every second; those that were not done by the deadline."""
    left = pending
    while left and (deadline is None or time.monotonic() < deadline):
        _beat(said)
        patience = BEAT_SECONDS if deadline is None else max(0.0, min(BEAT_SECONDS, deadline - time.monotonic()))
        left = wait(left, patience, FIRST_COMPLETED).not_done
    return left


def _time_left() -> bool:
    """Whether there can be another try: the last one says what is missing instead."""
    if not activity.in_activity():
        return False
    info = activity.info()
    life = info.schedule_to_close_timeout
    return life is not None and datetime.now(UTC) + LAST_TRY < info.scheduled_time + life


def _beat(said: object = "") -> None:
    if activity.in_activity():
        activity.heartbeat(dict(said) if isinstance(said, dict) else said)


def _cut(label: str, length: int) -> str:
    """What of a name may stand in an id or a file name."""
    plain = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "-" for char in label)
    return plain[:length].strip("._-") or "item"
