"""Evidence: manifests, custody events, and the inputs and results of their activities.

Pure shapes after the manifest of ISO/IEC 27037 practice; collecting is in `activities.host`, keeping in
`activities.evidence`. Sizes are bytes, times UTC, digests `sha256` as 64 hex digits.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, ConfigDict, Field, IPvAnyAddress, StringConstraints

from activities.contracts.orders import Order, Testimony
from playbooks.forensics import Collector, RetentionSpec, Tlp
from playbooks.gates import PlanHash
from segmentation.workloads import Frozen, Name, Workload

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# Short enough that ids of custody events and file names can be made from it.
EvidenceId = Annotated[Name, StringConstraints(max_length=120)]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
EvidenceKind = Literal[
    "packets", "ebpf-events", "volatile", "logs", "files", "memory", "kubernetes", "aws", "snapshot", "report"
]
OutcomeState = Literal["collected", "empty", "missing", "failed", "truncated"]
CustodyAction = Literal["collect", "transfer", "seal", "access", "verify", "export", "hold", "release", "dispose"]
LockMode = Literal["write-once", "governance", "compliance"]


def _is_empty(value: object) -> bool:
    return not value


def _is_none(value: object) -> bool:
    return value is None


class Outcome(Frozen):
    """What became of one thing that was to be collected, and why. Absence is evidence too."""

    state: OutcomeState
    reason: str = ""


class Source(Frozen):
    """Where an item came from. Fields that its kind does not have stay empty."""

    kind: Literal["host", "kubernetes", "aws"] = "host"
    resource_id: Name = Field(description="Workload id: a host's, or that of a platform's target.")
    host: Name = Field(description="Name that people know it by.")
    provider: str = Field(default="", description="`aws`, or the name of the cluster.")
    account: str = ""
    region: str = ""
    reference: str = Field(default="", description="The target as the platform spells it, for example an ARN.")
    boot_id: str = ""
    netns_inode: int = 0
    interface: str = ""
    ifindex: int = 0
    mac: str = ""


class Gap(Frozen):
    """A time of which an item should tell and does not, and why."""

    started: AwareDatetime
    ended: AwareDatetime
    reason: str


class Acquisition(Frozen):
    """How it was collected, with every counter of loss that the tool gives."""

    tool: str
    tool_version: str = ""
    tool_sha256: str = ""
    command: tuple[str, ...] = ()
    filter: str = ""
    snaplen: int = Field(default=0, description="0: whole packets.")
    linktype: str = ""
    started: AwareDatetime
    ended: AwareDatetime
    clock_offset_ms: float | None = None
    kernel: str = ""
    packets_received: int | None = None
    packets_dropped_kernel: int | None = None
    packets_dropped_interface: int | None = None
    packets_captured: int | None = Field(default=None, description="Packets in the file, counted.")
    events: int | None = None
    events_lost: int | None = None
    truncated: bool = False
    exit_status: int | None = None
    gaps: tuple[Gap, ...] = Field(default=(), exclude_if=_is_empty)


class Retention(Frozen):
    """Until when nobody may delete or shorten, and who may lift that: `compliance` nobody at all."""

    mode: LockMode = "write-once"
    until: datetime | None = None


class Storage(Frozen):
    """Where the vault keeps the bytes, as it answered when it had them."""

    uri: str
    checksum: Sha256 = Field(description="Of the stored bytes; the item's own digest unless they are encrypted.")
    lock_mode: LockMode = "write-once"
    version_id: str = ""
    retain_until: datetime | None = None
    legal_hold: bool = False
    encryption: str = Field(default="", description="Scheme and key id; empty: stored as collected.")


class CollectedItem(Frozen):
    """One artefact as its collector hands it over: already in the vault, or absent with a reason."""

    evidence_id: EvidenceId
    kind: EvidenceKind
    name: FileName = Field(description="File name in the vault; never from content.")
    media_type: str
    size: int = 0
    sha256: Sha256 | None = None
    outcome: Outcome
    source: Source
    acquisition: Acquisition
    volatility_rank: int = Field(ge=1, le=9, description="RFC 3227 order: 1 goes first.")
    storage: Storage | None = None


class Principal(Frozen):
    """Which principal collected."""

    principal: str
    role: str


class Authority(Frozen):
    """On whose word: the plan and the decisions behind the collection."""

    decision_ids: tuple[str, ...] = ()
    plan_hash: PlanHash | None = None


class WorkflowRef(Frozen):
    """Which workflow step made the item."""

    workflow_id: str
    run_id: str
    activity_id: str
    attempt: int


class Manifest(Frozen):
    """Everything about one item; its canonical form (RFC 8785) is chained by `prev_hash`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["firebreak/manifest/1"] = Field(default="firebreak/manifest/1", alias="schema")
    case_id: Name
    seq: int = Field(ge=1)
    prev_hash: Sha256
    item: CollectedItem
    collector: Principal
    authority: Authority
    containment_state_at_capture: str
    workflow: WorkflowRef
    derived_from: tuple[Name, ...] = ()
    tlp: Tlp = "AMBER"
    retention: RetentionSpec | None = Field(
        default=None, exclude_if=_is_none, description="What the playbook asked for; a seal makes it stricter."
    )


class CustodyEvent(Frozen):
    """One thing that happened to an item, chained to the one before."""

    event_id: Name
    case_id: Name
    evidence_id: Name | None = Field(description="None: the case as a whole.")
    action: CustodyAction
    actor: str
    at: datetime
    purpose: str
    hash_before: Sha256 | None = None
    hash_after: Sha256 | None = None
    prev_event_hash: Sha256


class FreezeOrder(Order):
    """freeze_recorder: close the flight recorder's ring without a gap and bring its files to the vault."""

    capture_seconds: int = Field(description="The full-length capture that starts at the freeze lasts this long.")


class CaptureOrder(Order):
    """finish_capture: wait for the full-length capture that the freeze began, then bring it to the vault."""

    capture_seconds: int


class CollectVolatileOrder(Order):
    """collect_volatile: sockets, processes and the like, each as one item."""

    collect: tuple[Collector, ...]
    budget_seconds: int
    files: tuple[str, ...] = Field(default=(), description="Absolute paths, for the collector `files`.")
    memory_max_mib: int = Field(default=256, ge=1, description="Bound for each process, for `memory`.")
    accused: tuple[IPvAnyAddress, ...] = Field(
        default=(), description="Whose processes `memory` is of; empty: anybody."
    )
    accused_ports: tuple[int, ...] = ()
    continues: str = Field(
        default="",
        description="The order that this one repeats: what was collected on that one is not collected again.",
    )


class Collected(Testimony):
    """The items of one collection."""

    items: tuple[CollectedItem, ...]


class RegisterEvidence(Frozen):
    """register_evidence: chain items into the case (control side)."""

    incident_id: Name
    items: tuple[CollectedItem, ...]
    collector: str
    attested: bool
    authority: Authority
    containment_state: str
    retention: RetentionSpec = RetentionSpec()
    tlp: Tlp = "AMBER"
    owner: Workload | None = Field(
        default=None, description="The host whose items these are, and no other's; None: our own worker collected them."
    )


class Registered(Frozen):
    """The chain after registering."""

    manifests: int
    head: Sha256
    refused: tuple[EvidenceId, ...] = Field(default=(), description="Not chained: ids of somebody else's items.")
    problems: tuple[str, ...] = ()


class VerifyCase(Frozen):
    """verify_case: recompute every hash of a case."""

    incident_id: Name
    actor: str
    purpose: str


class SealRef(Frozen):
    """One seal of a case: what it covers, by whose key, since when."""

    number: int = Field(ge=1)
    manifests: int
    custody: int
    keyid: str
    sealed_at: datetime
    timestamp: Literal["none", "pending", "held"] = Field(description="RFC 3161 token over the envelope's digest.")
    timestamp_at: datetime | None = None
    problem: str = Field(default="", description="Why the vault does not keep the items as sealed evidence is kept.")


class SealCase(Frozen):
    """seal_case: sign the heads of both chains and the digest of every item; the same heads again are no change."""

    incident_id: Name
    actor: str
    purpose: str


class TimestampSeal(Frozen):
    """timestamp_seal: have the time-stamping authority vouch for a seal's time."""

    incident_id: Name
    number: int


class CaseVerdict(Frozen):
    """What verification found; `first_failure` names the item and why."""

    items: int
    verified: int
    ok: bool
    first_failure: str = ""
    seals: tuple[SealRef, ...] = ()
    unsealed: int = Field(default=0, description="Links of both chains that came after the last seal.")
    unregistered: tuple[str, ...] = Field(
        default=(), description="Artefacts that no manifest names: handed over, but never registered."
    )
    warnings: tuple[str, ...] = Field(
        default=(), description="What holds only on a condition, such as a key that came with the case."
    )
