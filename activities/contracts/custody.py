"""The case: what is chained of evidence, who did what with it, and the seals over both.

Pure shapes after the manifest of ISO/IEC 27037 practice: manifests, custody events, and the inputs and results of the
activities that keep a case (`activities.evidence`). What is collected is in `activities.contracts.evidence`.
"""

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field

from activities.contracts.evidence import CollectedItem, EvidenceId, Sha256
from playbooks.forensics import RetentionSpec, Tlp
from playbooks.gates import PlanHash
from segmentation.workloads import Frozen, Name, Workload

CustodyAction = Literal["collect", "transfer", "seal", "access", "verify", "export", "hold", "release", "dispose"]
TimestampState = Literal["none", "pending", "held", "wrong"]


def _is_none(value: object) -> bool:
    return value is None


def _is_empty(value: object) -> bool:
    return not value


def _is_unasked(value: object) -> bool:
    return value == "none"


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
    timestamp: TimestampState = Field(description="RFC 3161 token over the envelope's digest.")
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
    reason: Literal["", "broken", "timestamp-pending"] = Field(
        default="",
        exclude_if=_is_empty,
        description="Why it is not ok. `timestamp-pending`: all that is there holds, a timestamp has not come.",
    )
    timestamp: TimestampState = Field(
        default="none",
        exclude_if=_is_unasked,
        description="Of its seals: `wrong` if any is, else `pending` if any is awaited; `none`: nobody was asked.",
    )
    behind: int = Field(
        default=0, exclude_if=_is_empty, description="Documents of the ledger that the vault's copy did not have yet."
    )
