"""Evidence: manifests, custody events, and the inputs and results of their activities.

Pure shapes after the manifest of ISO/IEC 27037 practice; collecting is in `activities.host`, keeping in
`activities.evidence`. Sizes are bytes, times UTC, digests `sha256` as 64 hex digits.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from activities.contracts.orders import Order, Testimony
from playbooks.gates import PlanHash
from playbooks.playbook import Collector
from segmentation.workloads import Frozen, Name

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# Short enough that ids of custody events and file names can be made from it.
EvidenceId = Annotated[Name, StringConstraints(max_length=120)]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
EvidenceKind = Literal["packets", "ebpf-events", "volatile", "report"]
OutcomeState = Literal["collected", "empty", "missing", "failed", "truncated"]
CustodyAction = Literal["collect", "transfer", "seal", "access", "verify", "export", "hold", "release", "dispose"]


class Outcome(Frozen):
    """What became of one thing that was to be collected, and why. Absence is evidence too."""

    state: OutcomeState
    reason: str = ""


class Source(Frozen):
    """Where an item came from."""

    kind: Literal["host"] = "host"
    resource_id: Name
    host: Name
    boot_id: str = ""
    netns_inode: int = 0
    interface: str = ""
    ifindex: int = 0
    mac: str = ""


class Acquisition(Frozen):
    """How it was collected, with every counter of loss that the tool gives."""

    tool: str
    tool_version: str = ""
    tool_sha256: str = ""
    command: tuple[str, ...] = ()
    filter: str = ""
    snaplen: int = Field(default=0, description="0: whole packets.")
    linktype: str = ""
    started: datetime
    ended: datetime
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


class Storage(Frozen):
    """Where the vault keeps the bytes."""

    uri: str
    checksum: Sha256
    lock_mode: Literal["write-once", "governance", "compliance"] = "write-once"


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
    tlp: Literal["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"] = "AMBER"


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


class Registered(Frozen):
    """The chain after registering."""

    manifests: int
    head: Sha256


class VerifyCase(Frozen):
    """verify_case: recompute every hash of a case."""

    incident_id: Name
    actor: str
    purpose: str


class CaseVerdict(Frozen):
    """What verification found; `first_failure` names the item and why."""

    items: int
    verified: int
    ok: bool
    first_failure: str = ""
    unregistered: tuple[str, ...] = Field(
        default=(), description="Artefacts that no manifest names: handed over, but never registered."
    )
