"""Inputs, records and snapshots of an incident: what crosses between workflows, ledger and API.

Pure shapes. The workflow is the record; `IncidentSnapshot` is its projection for people, `IncidentEvent` one
line of its timeline. Times are UTC.
"""

from datetime import datetime
from typing import Literal

from pydantic import Field

from activities.contracts.custody import SealRef
from activities.contracts.evidence import CollectedItem
from activities.contracts.host import ProcessRef
from playbooks.alerts import ReceivedAlert
from playbooks.change import PlatformChange
from playbooks.gates import Decision, Gate, Outcome
from playbooks.host_isolation import HostChange, HostObservation, LifelineEndpoint
from playbooks.playbook import Playbook
from playbooks.proof import Proof
from playbooks.safeguards import Safeguards
from segmentation.workloads import Frozen, Name, Workload

Stage = Literal["detect", "triage", "contain", "forensics", "remediate", "release", "learn", "closed"]
TargetState = Literal[
    "planned", "awaiting-decision", "denied", "applying", "isolated", "rolled-back", "failed", "released", "expired"
]


def _is_none(value: object) -> bool:
    return value is None


def _is_none_left(value: object) -> bool:
    return value == 0


class AlertBatch(Frozen):
    """Alerts that intake hands to an incident at once.

    `ids` are their places in the outbox, ascending: a batch that is handed over twice is counted once.
    """

    ids: tuple[int, ...] = Field(min_length=1)
    first: ReceivedAlert
    last_received_at: datetime


class IncidentEvent(Frozen):
    """One line of the timeline and of the hash-chained ledger."""

    at: datetime
    stage: Stage
    kind: Name = Field(description="Machine-readable, for example `target-isolated`.")
    actor: str = Field(description="`workflow`, `agent:<host>` or `user:<name>`.")
    summary: str
    details: dict[str, str | int | float | bool | None] = Field(default_factory=dict)


class TargetStatus(Frozen):
    """Where the containment of one target stands."""

    workload: Workload
    state: TargetState
    workflow_id: str = Field(default="", description="The ContainTargetWorkflow that owns the lease.")
    change: HostChange | PlatformChange | None = None
    observation: HostObservation | None = Field(default=None, description="Of a host.")
    applied_at: datetime | None = None
    lease_until: datetime | None = None
    proof: Proof | None = None
    restored: bool | None = None
    reason: str = ""
    release_problem: str = Field(default="", description="Why it could not be released when it was asked for.")


class LeaseRenewed(Frozen):
    """The signal `lease_renewed`: all that a renewal changes of a target, without the plan that goes with it."""

    target_id: Name
    lease_until: datetime | None
    reason: str = ""


class GateStatus(Frozen):
    """A gate with the workflow that takes its decisions."""

    gate: Gate
    workflow_id: str
    outcome: Outcome | None = None


class IncidentSnapshot(Frozen):
    """An incident as people see it."""

    incident_id: Name
    correlation_key: str
    title: str
    stage: Stage
    status: Literal["open", "closed"] = "open"
    severity: int
    playbook: str | None
    waiting_for: str = ""
    alerts: int
    first_alert: ReceivedAlert
    opened_at: datetime
    updated_at: datetime
    closed_at: datetime | None = None
    corroborated: bool | None = None
    targets: tuple[TargetStatus, ...] = ()
    gates: tuple[GateStatus, ...] = ()
    intruders: tuple[ProcessRef, ...] = ()
    evidence: tuple[CollectedItem, ...] = ()
    evidence_unlisted: int = Field(
        default=0, exclude_if=_is_none_left, description="Items that the case alone tells of."
    )
    remediation: str = ""
    report_uri: str = ""
    names: dict[Name, str] = Field(default_factory=dict, description="Names of the hosts that ids here stand for.")


class RecordIncident(Frozen):
    """record_incident: write events to the audit chain and replace the projection, in one transaction.

    `sequence` grows with every call of one incident: a retry of an earlier one writes nothing twice.
    """

    sequence: int = Field(ge=1)
    snapshot: IncidentSnapshot
    events: tuple[IncidentEvent, ...]


class IncidentSoFar(Frozen):
    """What an incident hands to its next run: all that is known, at a moment at which it did nothing but wait."""

    snapshot: IncidentSnapshot
    written: int = Field(ge=0, description="Number of the last write to the ledger.")
    events: tuple[IncidentEvent, ...] = Field(default=(), description="Those that are not written yet.")
    counted_to: int = Field(description="Place in the outbox up to which alerts are counted.")
    repaired: bool = Field(default=False, description="The playbook may yet release what was repaired.")
    under_way: RecordIncident | None = Field(default=None, exclude_if=_is_none, description="A write not answered.")
    lines_under_way: tuple[IncidentEvent, ...] | None = Field(
        default=None, exclude_if=_is_none, description="Its lines, where all of it is too long."
    )


class IncidentStart(Frozen):
    """Input of IncidentWorkflow: everything the first order needs, so that no activity runs before it."""

    incident_id: Name
    correlation_key: str
    alerts: AlertBatch
    playbook: Playbook | None = Field(default=None, description="None: no playbook answers; people triage.")
    targets: tuple[Workload, ...] = Field(default=(), description="Empty: the alert names no workload we know.")
    witnesses: tuple[Workload, ...] = ()
    lifeline: tuple[LifelineEndpoint, ...] = ()
    log_group: int | None = None
    siem_configured: bool = False
    rehearsal: bool = Field(default=False, description="Ends before its first order: a worker warming up.")
    # Left out where they say nothing, so that what was recorded before there were safeguards still reads the same.
    safeguards: Safeguards = Field(
        default=Safeguards(),
        exclude_if=lambda safeguards: safeguards == Safeguards(),
        description="The site's: a platform's target shows its labels only when it is observed.",
    )
    restraints: dict[Name, str] = Field(
        default_factory=dict,
        exclude_if=lambda restraints: not restraints,
        description="By target id, why people decide on it whatever the playbook says.",
    )
    so_far: IncidentSoFar | None = Field(
        default=None, exclude_if=_is_none, description="Carried over when the workflow continues as new."
    )


class CorroborateAlert(Frozen):
    """corroborate_alert: does the SIEM hold the events that the alert claims?"""

    incident_id: Name
    received: ReceivedAlert
    window_seconds: int = 900


class Corroboration(Frozen):
    """What the SIEM said; `found` None when it could not be asked."""

    found: bool | None
    hits: int = 0
    query: str = ""
    reason: str = ""


class ReadStop(Frozen):
    """read_stop: asked right before a containment that nobody has approved."""

    incident_id: Name


class StopState(Frozen):
    """Whether the global stop is on: while it is, nothing is contained that no person has approved."""

    on: bool = False
    since: datetime | None = None
    actor: str = ""
    reason: str = ""

    @property
    def restraint(self) -> str:
        """Why people decide; empty while it is off."""
        if not self.on or self.since is None:
            return ""
        return f"the global stop is on since {self.since:%Y-%m-%d %H:%M:%S} UTC by {self.actor}: {self.reason}"


class DecisionRequest(Frozen):
    """The Update `decide`: a decision with the authenticated actor filled in by the API."""

    decision: Decision


class ReleaseRequest(Frozen):
    """The Update `release`: lift the isolation of one target of the incident, or of every one."""

    actor: str
    reason: str
    target_id: Name | None = Field(default=None, exclude_if=_is_none, description="None: every target.")


class CloseRequest(Frozen):
    """The Update `close`: end an incident that waits in triage."""

    actor: str
    reason: str


class RenderReport(Frozen):
    """render_report: one self-contained HTML file from the snapshot and the timeline."""

    snapshot: IncidentSnapshot
    seal: SealRef | None = Field(default=None, exclude_if=_is_none, description="The seal that the report names.")


class Report(Frozen):
    """Where the report is."""

    uri: str
    sha256: str
    path: str
    evidence_failure: str = Field(default="", description="What of the case's evidence did not verify first.")
    seal_problem: str = Field(default="", description="Why the case is not sealed, or not kept as sealed cases are.")
