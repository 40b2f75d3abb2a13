"""What is done with evidence besides reading it: seal, hold, release, export. Each says why, and is a custody event.

Owns the routes and who may call them. Sealing is asked of the worker by a workflow: the API has no signing key. An
export is recorded and sealed before its first byte leaves; nothing of it is held or written on its way.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

import structlog
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field, StringConstraints

from activities.contracts.custody import SealCase, SealRef
from activities.contracts.evidence import EvidenceId
from activities.evidence.contents import CaseContents, read_case
from activities.evidence.errors import ExportBroken
from activities.evidence.export.bag import Bag, plan_bag
from activities.evidence.export.tar import MEDIA_TYPE, stream_tar, tar_size
from activities.evidence.holding import Holds
from activities.evidence.holds import StandingHolds
from api.auth import Approver, Responder
from api.dependencies import ApiDependencies, Given
from api.errors import Unavailable
from api.incidents import find_incident, incident_workflow
from api.paths import IncidentId
from api.problems import Responses, documented
from api.updates import CONTROL_QUEUE, connect, waited_for
from segmentation.workloads import Frozen

SEAL_SECONDS = 120
# Fingerprints of the keys that sealed, by our own knowledge; empty where no key is known but the bag's.
SEAL_KEYS = "Firebreak-Seal-Keys"
PROBLEMS = documented(401, 403, 404, 409, 422, 503)
TAR: Responses = {200: {"content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}}
Why = Annotated[str, StringConstraints(min_length=3, max_length=500)]
router = APIRouter(tags=["evidence"], prefix="/v1/incidents/{incident_id}/evidence")
log = structlog.get_logger(__name__)


class PurposeBody(Frozen):
    """Why; it is kept in the custody chain."""

    model_config = ConfigDict(json_schema_extra={"example": {"purpose": "handed to the regulator, file 7/2031"}})

    purpose: Why


class HoldBody(Frozen):
    """What to hold or to let go of, and why."""

    model_config = ConfigDict(json_schema_extra={"example": {"purpose": "court order 7", "evidence_id": None}})

    purpose: Why
    evidence_id: EvidenceId | None = Field(default=None, description="None: the case, with all that comes into it.")


class HoldsStanding(Frozen):
    """Who holds what: nobody may delete it until somebody else lets it go."""

    case: tuple[str, ...]
    items: dict[str, tuple[str, ...]]


@router.post("/seal", summary="Sign what the case holds", responses=PROBLEMS)
async def seal_evidence(incident_id: IncidentId, body: PurposeBody, given: Given, who: Responder) -> SealRef:
    """Over both chains and the digest of every item; if a seal covers all of it already, that one is the answer."""
    await find_incident(given, incident_id)
    return await _seal(given, SealCase(incident_id=incident_id, actor=who.actor, purpose=body.purpose))


@router.post("/hold", summary="Set a legal hold", responses=PROBLEMS)
async def hold_evidence(incident_id: IncidentId, body: HoldBody, given: Given, who: Responder) -> HoldsStanding:
    """Nobody may delete it any more, whatever its retention says."""
    await find_incident(given, incident_id)
    standing = await asyncio.to_thread(
        _holds(given).set, incident_id, body.evidence_id, actor=who.actor, purpose=body.purpose
    )
    return _standing(standing)


@router.post("/release", summary="Lift a legal hold", responses=PROBLEMS)
async def release_evidence(incident_id: IncidentId, body: HoldBody, given: Given, who: Approver) -> HoldsStanding:
    """By an approver who is not the one that set it; its retention stays as it is."""
    await find_incident(given, incident_id)
    standing = await asyncio.to_thread(
        _holds(given).lift, incident_id, body.evidence_id, actor=who.actor, purpose=body.purpose
    )
    return _standing(standing)


@router.post("/export", summary="Export the case as a bag", responses=PROBLEMS | TAR, response_class=StreamingResponse)
async def export_evidence(
    incident_id: IncidentId, body: PurposeBody, given: Given, who: Responder
) -> StreamingResponse:
    """A BagIt bag as tar, with all that a stranger needs to check it.

    Recorded and sealed before the first byte leaves. Where an item is not what its manifest says the stream ends early:
    fewer bytes come than `Content-Length` says.
    """
    await find_incident(given, incident_id)
    await asyncio.to_thread(
        given.evidence.record, incident_id, None, action="export", actor=who.actor, purpose=body.purpose
    )
    await _seal(given, SealCase(incident_id=incident_id, actor=who.actor, purpose=f"export: {body.purpose}"))
    bag = await asyncio.to_thread(_plan, given, incident_id)
    headers = {
        "Content-Disposition": f'attachment; filename="{bag.name}.tar"',
        "Content-Length": str(await asyncio.to_thread(tar_size, bag)),
        SEAL_KEYS: ",".join(bag.keyids),
    }
    return StreamingResponse(_sent(given, bag, who.actor), media_type=MEDIA_TYPE, headers=headers)


async def _seal(given: ApiDependencies, request: SealCase) -> SealRef:
    client = await connect(given)
    silent = Unavailable(
        f"The case was not sealed within {SEAL_SECONDS} s.", hint="See that the worker runs and has its signing key."
    )
    with waited_for(code="seal-refused", silent=silent):
        ref: SealRef = await client.execute_workflow(
            "SealCaseWorkflow",
            request,
            id=f"{incident_workflow(request.incident_id)}.seal.{uuid.uuid4().hex[:12]}",
            task_queue=CONTROL_QUEUE,
            result_type=SealRef,
            execution_timeout=timedelta(seconds=SEAL_SECONDS),
        )
    return ref


def _plan(given: ApiDependencies, incident_id: str) -> Bag:
    reader = given.vault.case(incident_id)
    with given.vault.locked(incident_id):
        contents: CaseContents = read_case(reader)
    trust = given.seal_trust()
    if not trust.given:
        log.error(
            "no key is known here: the seals of an export were held against the keys beside them", case=incident_id
        )
    return plan_bag(reader, contents, roots=trust.roots, exported_at=datetime.now(UTC), trust=trust)


async def _sent(given: ApiDependencies, bag: Bag, actor: str) -> AsyncIterator[bytes]:
    chunks = stream_tar(bag)
    try:
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk
    except ExportBroken as error:
        log.error("an export was broken off", case=bag.case_id, error=str(error))  # noqa: TRY400 - the reason says it
        await asyncio.to_thread(_note_broken, given, bag.case_id, actor, error.summary)
        # No problem document can follow what was sent: the server closes the connection, short of Content-Length.
        raise ConnectionAbortedError(error.summary) from error
    finally:
        await asyncio.to_thread(_close, chunks)


def _close(chunks: Iterator[bytes]) -> None:
    """Let go of the file that is being read, when whoever asked has gone away."""
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


def _note_broken(given: ApiDependencies, case_id: str, actor: str, why: str) -> None:
    """In the ledger alone: a vault that was altered stays as it was found."""
    given.evidence.tell_ledger(case_id, action="export", actor=actor, purpose=f"broken off: {why}")


def _holds(given: ApiDependencies) -> Holds:
    return Holds(given.evidence, given.ledger.custody, given.vault)


def _standing(standing: StandingHolds) -> HoldsStanding:
    return HoldsStanding(case=standing.case, items=dict(standing.items))
