"""Inputs, records and snapshots of an incident: what crosses between workflows, ledger and API.

Pure shapes. The workflow is the record; `IncidentSnapshot` is its projection for people, `IncidentEvent` one
line of its timeline. Times are UTC.
"""

from datetime import datetime
from typing import Literal

from pydantic import Field

from activities.contracts.evidence import CollectedItem
from activities.contracts.host import ProcessRef
from playbooks.alerts import ReceivedAlert
from playbooks.gates import Decision, Gate, Outcome
from playbooks.host_isolation import HostChange, HostObservation, LifelineEndpoint
from playbooks.playbook import Playbook
from playbooks.proof import Proof
from segmentation.workloads import Frozen, Name, Workload

Stage = Literal["detect", "triage", "contain", "forensics", "remediate", "release", "learn", "closed"]
TargetState = Literal[
    "planned", "awaiting-decision", "denied", "applying", "isolated", "rolled-back", "failed", "released", "expired"
]


class AlertBatch(Frozen):
    """Alerts that intake hands to an incident at once.

    `ids` are their places in the outbox, ascending: a batch that is handed over twice is counted once.
    """

    ids: tuple[int, ...] = Field(min_length=1)
    first: ReceivedAlert
    last_received_at: datetime


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
    change: HostChange | None = None
    observation: HostObservation | None = None
    applied_at: datetime | None = None
    lease_until: datetime | None = None
    proof: Proof | None = None
    restored: bool | None = None
    reason: str = ""
    release_problem: str = Field(default="", description="Why it could not be released when it was asked for.")


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


class DecisionRequest(Frozen):
    """The Update `decide`: a decision with the authenticated actor filled in by the API."""

    decision: Decision


class ReleaseRequest(Frozen):
    """The Update `release`: lift the isolation of every target of the incident."""

    actor: str
    reason: str


class CloseRequest(Frozen):
    """The Update `close`: end an incident that waits in triage."""

    actor: str
    reason: str


class RenderReport(Frozen):
    """render_report: one self-contained HTML file from the snapshot and the timeline."""

    snapshot: IncidentSnapshot


class Report(Frozen):
    """Where the report is."""

    uri: str
    sha256: str
    path: str
    evidence_failure: str = Field(default="", description="What of the case's evidence did not verify first.")
