"""Containments that a person asks for: see the plan, ask for it, let one target go.

Owns the routes and the names of targets in them. What is asked for goes the way of every alert, through the outbox, so
that it is durable and correlated; whoever asked never decides on it.
"""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field, StringConstraints
from temporalio.client import Client

from activities.contracts.incident import IncidentSnapshot, ReleaseRequest
from activities.contracts.response import PlanDocument, PlanStart
from activities.ledger.incidents import IncidentFilter
from api.auth import Approver, Responder
from api.dependencies import ApiDependencies, Given
from api.errors import BodyInvalid, Conflict, NotFound
from api.incidents import incident_workflow
from api.problems import documented
from api.updates import CONTROL_QUEUE, connect, update_workflow, waited_for
from playbooks.alerts import REQUESTED, Alert, Event, ReceivedAlert, Rule
from playbooks.host_isolation import IsolationIntent
from playbooks.platform_intent import PlatformIntent
from playbooks.playbook import ContainSpec
from segmentation.references import ReferenceUnknown, resolve_reference
from segmentation.workloads import Frozen, Inventory, Workload

Reference = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Why = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
PLAN_SECONDS = 60
HELD = {"isolated", "applying"}
EXAMPLE = "k8s:prod/shop/pod/web-5d9"
router = APIRouter(tags=["containments"], prefix="/v1")


class PlanBody(Frozen):
    """What to plan for."""

    model_config = ConfigDict(json_schema_extra={"example": {"target": EXAMPLE}})

    target: Reference


class ContainBody(Frozen):
    """What to contain, and why."""

    model_config = ConfigDict(json_schema_extra={"example": {"targets": [EXAMPLE], "reason": "beacons to 192.0.2.7"}})

    targets: tuple[Reference, ...] = Field(min_length=1, max_length=100)
    reason: Why


class ReleaseBody(Frozen):
    """What to let go, and why."""

    model_config = ConfigDict(json_schema_extra={"example": {"target": EXAMPLE, "reason": "clean"}})

    target: Reference
    reason: Why


class Asked(Frozen):
    """The incident that it is part of; what was asked for is durable."""

    incident_id: str
    status: Literal["accepted"] = "accepted"


class LetGoOf(Frozen):
    """The incidents whose hold on the target was let go."""

    incidents: tuple[str, ...]


@router.post("/plans", summary="What would be done to a target", responses=documented(401, 403, 404, 409, 422, 503))
async def plan(body: PlanBody, given: Given, _: Responder) -> PlanDocument:
    """Observed, planned and tried on paper with the platform itself; nothing is changed."""
    target = await _resolve(given, body.target)
    intent = _intent(given, target, f"preview-{uuid.uuid4().hex[:12]}")
    return await _planned(await connect(given), PlanStart(target=target, intent=intent))


@router.post(
    "/containments", status_code=202, summary="Ask for a containment", responses=documented(401, 403, 404, 422)
)
async def contain(body: ContainBody, given: Given, who: Responder) -> Asked:
    """Opens an incident, or joins the open one of the same targets. Somebody else decides, by its playbook's gate."""
    for reference in body.targets:
        await _resolve(given, reference)
    alert = Alert(
        rule=Rule(name=REQUESTED), event=Event(severity=80), targets=body.targets, message=f"{who.name}: {body.reason}"
    )
    received = ReceivedAlert(
        webhook_id=f"asked-{uuid.uuid4()}", source=who.actor, signed=True, received_at=datetime.now(UTC), alert=alert
    )
    loop = asyncio.get_running_loop()
    accepted = await loop.run_in_executor(given.intake_threads, given.ledger.intake.accept, received)
    given.wake()
    return Asked(incident_id=accepted.incident_id)


@router.post("/containments/release", summary="Let one target go", responses=documented(401, 403, 404, 409, 422, 503))
async def release(body: ReleaseBody, given: Given, who: Approver) -> LetGoOf:
    """Every incident that holds it lets it go; what else they hold stays."""
    target = await _resolve(given, body.target)
    holders = await asyncio.to_thread(_holders, given, target)
    if not holders:
        raise Conflict(f"Nothing holds {body.target}.", hint="See who holds what: firebreak incidents list.")
    for incident_id in holders:
        wanted = ReleaseRequest(actor=who.actor, reason=body.reason, target_id=target.workload_id)
        await update_workflow(given, incident_workflow(incident_id), "release", wanted)
    return LetGoOf(incidents=holders)


async def _resolve(given: ApiDependencies, reference: str) -> Workload:
    inventory: Inventory = await asyncio.to_thread(given.ledger.hosts.hosts)
    try:
        return resolve_reference(reference, inventory)
    except ReferenceUnknown as error:
        raise NotFound(error.summary, hint=error.hint) from error


def _intent(given: ApiDependencies, target: Workload, incident_id: str) -> IsolationIntent | PlatformIntent:
    spec = ContainSpec()
    lease = {"lease_seconds": spec.lease.ttl_seconds, "ends": spec.lease.ends}
    if target.kind != "host":
        return PlatformIntent.model_validate(
            {"incident_id": incident_id, "target_id": target.workload_id, "at": datetime.now(UTC), **lease}
        )
    if not given.advertised.lifeline:
        raise BodyInvalid("No lifeline is configured: a host would lose its way to the control plane.")
    return IsolationIntent.model_validate(
        {
            "incident_id": incident_id,
            "host_id": target.workload_id,
            "lifeline": [endpoint.model_dump() for endpoint in given.advertised.lifeline],
            **lease,
        }
    )


async def _planned(client: Client, start: PlanStart) -> PlanDocument:
    target = start.target
    silent = Conflict(
        f"{target.name} could not be planned for: nobody on {target.queue} answered in {PLAN_SECONDS} s.",
        hint="See that its agent, or the worker of its platform, runs.",
    )
    with waited_for(code="plan-refused", silent=silent):
        document: PlanDocument = await client.execute_workflow(
            "PlanTargetWorkflow",
            start,
            id=f"plan-{start.intent.incident_id}",
            task_queue=CONTROL_QUEUE,
            result_type=PlanDocument,
            execution_timeout=timedelta(seconds=PLAN_SECONDS),
        )
    return document


def _holders(given: ApiDependencies, target: Workload) -> tuple[str, ...]:
    """Open incidents that hold the target, by the ledger's projection."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = given.ledger.incidents.incidents(IncidentFilter(status="open"), limit=200, cursor=cursor)
        found.extend(incident.incident_id for incident in page.items if _holds(incident, target))
        cursor = page.next_cursor
        if cursor is None:
            return tuple(found)


def _holds(incident: IncidentSnapshot, target: Workload) -> bool:
    return any(t.workload.workload_id == target.workload_id and t.state in HELD for t in incident.targets)
