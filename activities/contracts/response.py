"""Inputs and results of the child workflows of an incident, and the signals between them.

Pure shapes. Every child tells its parent what changed by signal, so that the incident is one document.
"""

from pydantic import Field, IPvAnyAddress

from activities.contracts.evidence import CollectedItem
from activities.contracts.host import Isolated, ProcessRef
from activities.contracts.incident import ReleaseRequest, TargetStatus
from activities.contracts.killswitch import Contained, PlatformObservation
from playbooks.change import PlatformChange
from playbooks.forensics import ForensicsSpec
from playbooks.gates import GateSpec, PlanHash
from playbooks.host_isolation import HostChange, HostObservation, IsolationIntent
from playbooks.platform_intent import PlatformIntent
from playbooks.playbook import ContainSpec, RemediateSpec
from playbooks.safeguards import Safeguards
from segmentation.workloads import Frozen, Name, Workload


def _is_none(value: object) -> bool:
    return value is None


def _is_empty(value: object) -> bool:
    return not value


def _is_none_left(value: object) -> bool:
    return value == 0


def _is_false(value: object) -> bool:
    return value is False


class Planned(Frozen):
    """An observation and the change planned from it; what was observed first is what will be restored."""

    observation: HostObservation | PlatformObservation
    change: HostChange | PlatformChange


class ContainStart(Frozen):
    """Input of ContainTargetWorkflow.

    With `isolated` (a host) or `contained` (a platform's target) the incident has applied the change on its fast path,
    and the child takes the lease over. With `planned` it has tried, and the child goes on trying with that plan.
    Otherwise the child observes, plans, asks the gate (if there is one) and applies.

    A successor of a child that was ended gets what that one had applied, and `succeeds`.
    """

    incident_id: Name
    target: Workload
    witnesses: tuple[Workload, ...]
    intent: IsolationIntent | PlatformIntent
    contain: ContainSpec
    gate: GateSpec | None = None
    question: str = ""
    requested_by: str = "workflow"
    isolated: Isolated | None = None
    contained: Contained | None = Field(default=None, exclude_if=_is_none)
    planned: Planned | None = Field(default=None, exclude_if=_is_none)
    delayed: bool = Field(default=False, exclude_if=_is_false, description="The fast path gave up waiting for it.")
    safeguards: Safeguards = Field(default=Safeguards(), exclude_if=lambda found: found == Safeguards())
    approved: bool = Field(default=False, exclude_if=_is_false, description="People have approved `planned` already.")
    renewals: int = Field(default=0, description="Carried over when the workflow continues as new.")
    status: TargetStatus | None = Field(default=None, description="Carried over with them.")
    succeeds: bool = Field(default=False, exclude_if=_is_false, description="Its lease is renewed at once.")
    release: ReleaseRequest | None = Field(
        default=None, exclude_if=_is_none, description="Asked for already: nothing is renewed or proven any more."
    )


class CollectStart(Frozen):
    """Input of CollectEvidenceWorkflow."""

    incident_id: Name
    target: Workload
    forensics: ForensicsSpec
    accused: tuple[IPvAnyAddress, ...] = Field(description="Addresses that the alert says the intruder reached for.")
    accused_ports: tuple[int, ...] = ()
    containment_state: str
    plan_hash: PlanHash | None = None
    decision_ids: tuple[str, ...] = Field(
        default=(), exclude_if=_is_empty, description="Approvals that the containment rests on, as `GATE/ACTOR`."
    )
    agents: tuple[Workload, ...] = Field(
        default=(), exclude_if=_is_empty, description="Hosts with an agent: a Kubernetes target's node may be one."
    )


class CollectResult(Frozen):
    """What was collected and who was found."""

    items: tuple[CollectedItem, ...] = Field(description="As they are listed with the incident.")
    intruders: tuple[ProcessRef, ...] = ()
    problems: tuple[str, ...] = ()
    unlisted: int = Field(default=0, exclude_if=_is_none_left, description="Items that the case alone tells of.")


class PlanStart(Frozen):
    """Input of PlanTargetWorkflow: what would be done to a target; nothing is."""

    target: Workload
    intent: IsolationIntent | PlatformIntent


class PlanDocument(Frozen):
    """A plan for people and programs: the change, its hash, its way back and what the platform says against it."""

    target: Workload
    plan_hash: PlanHash
    summary: tuple[str, ...]
    change: HostChange | PlatformChange
    inverse: HostChange | PlatformChange
    already_standing: bool = Field(description="There is nothing left to apply.")
    permissions: tuple[str, ...] = ()
    refusals: tuple[str, ...] = Field(default=(), description="What the platform's own dry run says against it.")
    warnings: tuple[str, ...] = Field(default=(), description="What could go wrong all the same.")


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
