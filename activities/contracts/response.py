"""Inputs and results of the child workflows of an incident, and the signals between them.

Pure shapes. Every child tells its parent what changed by signal, so that the incident is one document.
"""

from pydantic import Field, IPvAnyAddress

from activities.contracts.evidence import CollectedItem
from activities.contracts.host import Isolated, ProcessRef
from activities.contracts.incident import TargetStatus
from playbooks.gates import GateSpec, PlanHash
from playbooks.host_isolation import IsolationIntent
from playbooks.playbook import ContainSpec, ForensicsSpec, RemediateSpec
from segmentation.workloads import Frozen, Name, Workload


class ContainStart(Frozen):
    """Input of ContainTargetWorkflow.

    With `isolated` the incident has ordered the isolation on its fast path, and the child takes the lease over.
    Otherwise the child observes, plans, asks the gate (if there is one) and applies.
    """

    incident_id: Name
    target: Workload
    witnesses: tuple[Workload, ...]
    intent: IsolationIntent
    contain: ContainSpec
    gate: GateSpec | None = None
    question: str = ""
    requested_by: str = "workflow"
    isolated: Isolated | None = None
    renewals: int = Field(default=0, description="Carried over when the workflow continues as new.")
    status: TargetStatus | None = Field(default=None, description="Carried over with them.")


class CollectStart(Frozen):
    """Input of CollectEvidenceWorkflow."""

    incident_id: Name
    target: Workload
    forensics: ForensicsSpec
    accused: tuple[IPvAnyAddress, ...] = Field(description="Addresses that the alert says the intruder reached for.")
    accused_ports: tuple[int, ...] = ()
    containment_state: str
    plan_hash: PlanHash | None = None


class CollectResult(Frozen):
    """What was collected and who was found."""

    items: tuple[CollectedItem, ...]
    intruders: tuple[ProcessRef, ...] = ()
    problems: tuple[str, ...] = ()


class RemediateStart(Frozen):
    """Input of RemediateWorkflow."""

    incident_id: Name
    target: Workload
    remediate: RemediateSpec
    intruders: tuple[ProcessRef, ...]
    requested_by: str = "workflow"


class RemediateResult(Frozen):
    """What became of remediation."""

    state: str = Field(description="`done`, `denied`, `failed` or `nothing-to-do`.")
    summary: str
    confirmed: bool = False
