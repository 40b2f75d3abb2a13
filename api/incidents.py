"""Incidents: list, detail, and the three things that people say to one (decide, release, close).

Owns the routes and who may call them. Whether a decision counts is said by the workflow's validator alone;
its refusal is passed on.
"""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import ConfigDict, StringConstraints

from activities.contracts.incident import (
    CloseRequest,
    DecisionRequest,
    GateStatus,
    IncidentEvent,
    IncidentSnapshot,
    ReleaseRequest,
    Stage,
)
from activities.ledger.incidents import IncidentFilter, Page
from api.auth import READER, Approver, Decider, Responder
from api.dependencies import ApiDependencies, Given
from api.errors import Forbidden, NotFound
from api.examples import DECISION, REASON
from api.paths import IncidentId
from api.problems import documented
from api.updates import update_workflow
from playbooks.gates import Decision, PlanHash, Verdict
from segmentation.workloads import Frozen, Name

PROBLEMS = documented(401, 403, 404, 409, 422, 503)
router = APIRouter(tags=["incidents"], prefix="/v1/incidents")


class IncidentDetail(IncidentSnapshot):
    """An incident and what happened."""

    timeline: tuple[IncidentEvent, ...]


class DecisionBody(Frozen):
    """A decision on the plan with this hash; who decides is known from the token."""

    model_config = ConfigDict(json_schema_extra={"example": DECISION})

    gate_id: Name
    plan_hash: PlanHash
    verdict: Verdict
    reason: Annotated[str, StringConstraints(max_length=2000)] = ""


class ReasonBody(Frozen):
    """Why."""

    model_config = ConfigDict(json_schema_extra={"example": REASON})

    reason: Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class Heard(Frozen):
    """The workflow took it."""

    incident_id: str
    status: Literal["accepted"] = "accepted"


@router.get("", summary="List incidents", responses=documented(400, 401, 403, 422), dependencies=[READER])
async def list_incidents(  # noqa: PLR0913 - each is one query parameter
    given: Given,
    *,
    status: Annotated[Literal["open", "closed"] | None, Query()] = None,
    stage: Annotated[Stage | None, Query()] = None,
    min_severity: Annotated[int, Query(ge=0, le=100)] = 0,
    host: Annotated[str | None, Query(max_length=256, description="Name, id or address.")] = None,
    text: Annotated[str | None, Query(max_length=256, description="Part of title, rule, key or id.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=512, description="next_cursor of the page before.")] = None,
) -> Page:
    """Newest first."""
    wanted = IncidentFilter(status=status, stage=stage, min_severity=min_severity, host=host, text=text)
    return await asyncio.to_thread(given.ledger.incidents.incidents, wanted, limit=limit, cursor=cursor)


@router.get(
    "/{incident_id}",
    summary="One incident with its timeline",
    responses=documented(401, 403, 404, 422),
    dependencies=[READER],
)
async def show_incident(incident_id: IncidentId, given: Given) -> IncidentDetail:
    """Also one whose workflow has not begun: it stands in detect."""
    incident = await find_incident(given, incident_id)
    timeline = await asyncio.to_thread(given.ledger.incidents.timeline, incident_id)
    # Both are checked models of ours: validating the whole incident again would only cost time.
    return IncidentDetail.model_construct(**dict(incident), timeline=tuple(timeline))


@router.post("/{incident_id}/decisions", summary="Decide at a gate", responses=PROBLEMS)
async def decide(incident_id: IncidentId, body: DecisionBody, given: Given, who: Decider) -> Heard:
    """Bound to the hash of the plan that was read."""
    found = _gate(await find_incident(given, incident_id), body.gate_id)
    allowed = found.gate.spec.roles
    if not set(who.roles) & set(allowed):
        raise Forbidden(
            f"{who.name} has the roles {', '.join(who.roles)}; the gate takes {', '.join(allowed)}.",
            hint="Ask somebody with one of these roles.",
        )
    decision = Decision(actor=who.actor, roles=who.roles, **body.model_dump())
    # The same person's same answer has the same id: a retry after a lost response is not a second decision. A gate
    # that was escalated asks anew.
    anew = ":escalated" if found.gate.escalated_at else ""
    update_id = f"decide:{body.gate_id}:{body.plan_hash[-16:]}:{body.verdict}:{who.name}{anew}"
    await update_workflow(given, found.workflow_id, "decide", DecisionRequest(decision=decision), update_id)
    return Heard(incident_id=incident_id)


@router.post("/{incident_id}/release", summary="Lift the isolation of every target", responses=PROBLEMS)
async def release(incident_id: IncidentId, body: ReasonBody, given: Given, who: Approver) -> Heard:
    """What stood before is put back and compared."""
    await find_incident(given, incident_id)
    wanted = ReleaseRequest(actor=who.actor, reason=body.reason)
    await update_workflow(given, incident_workflow(incident_id), "release", wanted)
    return Heard(incident_id=incident_id)


@router.post("/{incident_id}/close", summary="End an incident that waits in triage", responses=PROBLEMS)
async def close(incident_id: IncidentId, body: ReasonBody, given: Given, who: Responder) -> Heard:
    """Refused while something is contained: release it first."""
    await find_incident(given, incident_id)
    wanted = CloseRequest(actor=who.actor, reason=body.reason)
    await update_workflow(given, incident_workflow(incident_id), "close", wanted)
    return Heard(incident_id=incident_id)


def incident_workflow(incident_id: str) -> str:
    """The id of the incident's workflow."""
    return f"incident-{incident_id}"


async def find_incident(given: ApiDependencies, incident_id: str) -> IncidentSnapshot:
    """The incident.

    Raises:
        NotFound: there is none.
    """
    found = await asyncio.to_thread(given.ledger.incidents.incident, incident_id)
    if found is None:
        raise NotFound(f"There is no incident {incident_id}.", hint="List them: GET /v1/incidents.")
    return found


def _gate(incident: IncidentSnapshot, gate_id: str) -> GateStatus:
    for status in incident.gates:
        if status.gate.gate_id == gate_id:
            return status
    known = ", ".join(status.gate.gate_id for status in incident.gates) or "none"
    raise NotFound(
        f"Incident {incident.incident_id} has no gate {gate_id}; it has {known}.",
        hint="Read the incident again.",
    )
