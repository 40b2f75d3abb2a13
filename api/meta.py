"""Operation: health (GET /healthz, /readyz), the audit chain and the counts of refusals.

Owns the routes; reads, never writes.
"""

import asyncio
from functools import partial
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from temporalio.service import RPCError

from activities.ledger.audit import AuditEvent, AuditVerdict
from activities.ledger.refusals import RefusalCount
from api.auth import RESPONDER, VIEWER
from api.dependencies import ApiDependencies, Given
from api.problems import documented
from segmentation.workloads import Name

READY_SECONDS = 3.0
PROBLEMS = documented(401, 403)
log = structlog.get_logger(__name__)
router = APIRouter(tags=["operation"])
State = Literal["ok", "away"]


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """What the API needs. Without Temporal alerts are still taken in: they wait in the outbox."""

    ledger: State
    temporal: State


@router.get("/healthz", summary="Whether the process runs")
async def health() -> Health:
    """Always ok: a process that can't say so does not answer."""
    return Health()


@router.get("/readyz", summary="Whether ledger and Temporal answer", responses={503: {"model": Readiness}})
async def ready(given: Given) -> JSONResponse:
    """503 while a part is away."""
    ledger, temporal = await asyncio.gather(_ledger(given), _temporal(given))
    status = 200 if ledger == temporal == "ok" else 503
    return JSONResponse(Readiness(ledger=ledger, temporal=temporal).model_dump(), status_code=status)


@router.get(
    "/v1/audit/verification",
    summary="Recompute the audit chain",
    responses=PROBLEMS,
    dependencies=[RESPONDER],
)
async def verify_audit(given: Given) -> AuditVerdict:
    """Note `head` elsewhere: it is what a rewritten database can't reproduce."""
    return await asyncio.to_thread(given.ledger.audit.verify)


@router.get("/v1/audit", summary="Read the audit chain", responses=PROBLEMS, dependencies=[RESPONDER])
async def list_audit(
    given: Given,
    after: Annotated[int | None, Query(ge=0, description="Number of the last event you have.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    incident_id: Annotated[Name | None, Query(description="Events of this incident alone.")] = None,
) -> list[AuditEvent]:
    """Who did what, in its order: the newest, or with `after` page by page."""
    read = partial(given.ledger.audit.events, after=after, limit=limit, incident_id=incident_id)
    return await asyncio.to_thread(read)


@router.get("/v1/refusals", summary="How often what was refused", responses=PROBLEMS, dependencies=[VIEWER])
async def list_refusals(given: Given) -> list[RefusalCount]:
    """By source and reason."""
    return await asyncio.to_thread(given.ledger.refusals.counts)


async def _ledger(given: ApiDependencies) -> State:
    try:
        await asyncio.wait_for(asyncio.to_thread(given.ledger.ping), READY_SECONDS)
    except (SQLAlchemyError, TimeoutError) as error:
        log.warning("ledger is away", error=str(error))
        return "away"
    return "ok"


async def _temporal(given: ApiDependencies) -> State:
    try:
        async with asyncio.timeout(READY_SECONDS):
            client = await given.temporal()
            await client.service_client.check_health()
    except (RPCError, RuntimeError, OSError, TimeoutError) as error:
        log.warning("temporal is away", error=str(error))
        return "away"
    return "ok"
