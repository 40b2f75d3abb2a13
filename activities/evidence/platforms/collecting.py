"""What a collector of a platform gets, and what it gives: the shapes that clusters and accounts share.

Owns a document in the making, where each part is read by itself and what can't be read costs that part alone. Never
knows a platform, a vault or a disk.

    def collect(task: Task) -> Iterator[Found]:
        draft = Draft()
        draft.part("volumes", lambda: reader.ask("ec2", "describe_volumes", ...))
        yield draft.found("configuration", reader.calls)
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, Self, TypeVar

from activities.contracts.evidence import EvidenceKind, Gap, Outcome, Source
from activities.contracts.platform_evidence import PodsOfNode
from segmentation.bounds import cut
from segmentation.errors import FirebreakError
from segmentation.workloads import Workload

JSON_MEDIA_TYPE, TEXT_MEDIA_TYPE = "application/json", "text/plain"
T = TypeVar("T")


@dataclass(frozen=True)
class Task:
    """One collector's work on one target."""

    incident_id: str
    target: Workload
    since: datetime
    deadline: float
    is_kept: Callable[[str], bool] = lambda _label: False
    tell: Callable[[str], None] = lambda _words: None

    @property
    def remaining_seconds(self) -> float:
        """Of the budget; nothing once it is spent."""
        return max(0.0, self.deadline - time.monotonic())


@dataclass(frozen=True)
class Found:
    """One thing that was collected. Without content there is nothing, and the outcome says why."""

    label: str
    outcome: Outcome
    content: bytes | None = None
    media_type: str = JSON_MEDIA_TYPE
    suffix: str = "json"
    calls: tuple[str, ...] = ()
    bounds: str = ""
    events: int | None = None
    gaps: tuple[Gap, ...] = ()
    nodes: tuple[PodsOfNode, ...] = ()


@dataclass(frozen=True)
class Bound:
    """A collector with its session: what a worker runs."""

    rank: int
    kind: EvidenceKind
    collect: Callable[[Task], Iterator[Found]]


class Scene(Protocol):
    """One target of a platform, opened to be read."""

    def reading(self) -> Self:
        """The same for one collector, with a record of its own."""


S = TypeVar("S", bound=Scene)


@dataclass(frozen=True)
class Collecting(Generic[S]):
    """One collector: how volatile what it reads is (RFC 3227, 2.1), what it reads, and what that needs."""

    rank: int
    kind: EvidenceKind
    collect: Callable[[S, Task], Iterator[Found]]
    permissions: tuple[str, ...]

    def bound(self, scene: S) -> Bound:
        """With the session that it reads by."""
        return Bound(self.rank, self.kind, lambda task: self.collect(scene.reading(), task))


@dataclass(frozen=True)
class Opened:
    """A platform, opened to collect from one target of one incident; collectors in the order of volatility."""

    source: Source
    tool: str
    tool_version: str
    collectors: Mapping[str, Bound]


@dataclass
class Draft:
    """One document in the making. `missing` says why there is nothing, where that is not an empty answer."""

    bounds: str = ""
    parts: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    events: int | None = None
    missing: str = ""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def part(self, name: str, read: Callable[[], T]) -> T | None:
        """Read one part; a refusal is noted and costs the others nothing."""
        try:
            found = read()
        except FirebreakError as error:
            self.problems.append(f"{name}: {error.summary}")
            return None
        except (LookupError, ValueError, TypeError) as error:
            # An answer that is not of the form we know.
            self.problems.append(cut(f"{name}: {type(error).__name__}: {error}"))
            return None
        self.parts[name] = found
        return found

    @property
    def outcome(self) -> Outcome:
        """Of the document as a whole."""
        reason = cut("; ".join([*self.problems, *self.cut]))
        is_bare = not any(self.parts.values())
        if self.problems and is_bare:
            return Outcome(state="failed", reason=reason)
        if self.missing and not self.problems:
            return Outcome(state="missing", reason=cut(self.missing))
        if reason:
            return Outcome(state="truncated", reason=reason)
        if is_bare or self.events == 0:
            return Outcome(state="empty", reason="there was none")
        return Outcome(state="collected")

    def found(self, label: str, calls: list[str], *, nodes: tuple[PodsOfNode, ...] = ()) -> Found:
        """The document as it is now."""
        document = {
            "schema": "firebreak/platform/1",
            "collector": label,
            "started": self.started.isoformat(),
            "ended": datetime.now(UTC).isoformat(),
            "bounds": self.bounds,
            "calls": calls,
            "not_read": self.problems,
            "truncated": self.cut,
            **self.parts,
        }
        outcome = self.outcome
        return Found(
            label=label,
            outcome=outcome,
            content=None if outcome.state == "failed" else json.dumps(document, indent=1, default=_plain).encode(),
            calls=tuple(calls),
            bounds=self.bounds,
            events=self.events,
            gaps=tuple(self.gaps),
            nodes=nodes,
        )


class Once:
    """Something that several collectors of one order need, read by the first that asks; its refusal is everybody's."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read, self._lock = read, threading.Lock()
        self._known: tuple[Any, FirebreakError | None] | None = None

    def get(self) -> Any:
        """The one answer, or the one error."""
        with self._lock:
            if self._known is None:
                try:
                    self._known = (self._read(), None)
                except FirebreakError as error:
                    self._known = (None, error)
            found, refusal = self._known
        if refusal is not None:
            raise refusal
        return found


def _plain(value: object) -> str:
    """What JSON has no form for: times of boto3, and bytes."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value)
