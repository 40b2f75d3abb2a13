"""Evidence: what is collected, item by item, with what became of it, where it came from and where it is kept.

Pure shapes that a host fills, so every one is bounded: collecting is in `activities.host`, what is chained of a case in
`activities.contracts.custody`. Sizes are bytes, times UTC, digests `sha256` as 64 hex digits.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from segmentation.bounds import Count, Line, LongLine, Milliseconds, Moment, Word
from segmentation.workloads import Frozen, Name

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# Short enough that ids of custody events and file names can be made from it.
EvidenceId = Annotated[Name, StringConstraints(max_length=120)]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
EvidenceKind = Literal[
    "packets", "ebpf-events", "volatile", "logs", "files", "memory", "kubernetes", "aws", "snapshot", "report"
]
OutcomeState = Literal["collected", "empty", "missing", "failed", "truncated"]
LockMode = Literal["write-once", "governance", "compliance"]
# Far more than an honest collector tells: it counts what it leaves out.
MAX_ARGUMENTS, MAX_GAPS = 4096, 1000


def _is_empty(value: object) -> bool:
    return not value


class Outcome(Frozen):
    """What became of one thing that was to be collected, and why. Absence is evidence too."""

    state: OutcomeState
    reason: Line = ""


class Source(Frozen):
    """Where an item came from. Fields that its kind does not have stay empty."""

    kind: Literal["host", "kubernetes", "aws"] = "host"
    resource_id: Name = Field(description="Workload id: a host's, or that of a platform's target.")
    host: Name = Field(description="Name that people know it by.")
    provider: Word = Field(default="", description="`aws`, or the name of the cluster.")
    account: Word = ""
    region: Word = ""
    reference: Line = Field(default="", description="The target as the platform spells it, for example an ARN.")
    boot_id: Word = ""
    netns_inode: Count = 0
    interface: Line = ""
    ifindex: Count = 0
    mac: Word = ""


class Gap(Frozen):
    """A time of which an item should tell and does not, and why."""

    started: Moment
    ended: Moment
    reason: Line


class Acquisition(Frozen):
    """How it was collected, with every counter of loss that the tool gives."""

    tool: Word
    tool_version: Word = ""
    tool_sha256: Word = ""
    command: tuple[Line, ...] = Field(default=(), max_length=MAX_ARGUMENTS)
    filter: LongLine = ""
    snaplen: Count = Field(default=0, description="0: whole packets.")
    linktype: Line = ""
    started: Moment
    ended: Moment
    clock_offset_ms: Milliseconds | None = None
    kernel: Word = ""
    packets_received: Count | None = None
    packets_dropped_kernel: Count | None = None
    packets_dropped_interface: Count | None = None
    packets_captured: Count | None = Field(default=None, description="Packets in the file, counted.")
    events: Count | None = None
    events_lost: Count | None = None
    truncated: bool = False
    exit_status: int | None = Field(default=None, ge=-1024, le=1024)
    gaps: tuple[Gap, ...] = Field(default=(), max_length=MAX_GAPS, exclude_if=_is_empty)


class Retention(Frozen):
    """Until when nobody may delete or shorten, and who may lift that: `compliance` nobody at all."""

    mode: LockMode = "write-once"
    until: datetime | None = None


class Storage(Frozen):
    """Where the vault keeps the bytes, as it answered when it had them."""

    uri: Line
    checksum: Sha256 = Field(description="Of the stored bytes; the item's own digest unless they are encrypted.")
    lock_mode: LockMode = "write-once"
    version_id: Line = ""
    retain_until: Moment | None = None
    legal_hold: bool = False
    encryption: Line = Field(default="", description="Scheme and key id; empty: stored as collected.")


class CollectedItem(Frozen):
    """One artefact as its collector hands it over: already in the vault, or absent with a reason."""

    evidence_id: EvidenceId
    kind: EvidenceKind
    name: FileName = Field(description="File name in the vault; never from content.")
    media_type: Word
    size: Count = 0
    sha256: Sha256 | None = None
    outcome: Outcome
    source: Source
    acquisition: Acquisition
    volatility_rank: int = Field(ge=1, le=9, description="RFC 3227 order: 1 goes first.")
    storage: Storage | None = None
