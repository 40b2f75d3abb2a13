"""The timestamp of one seal by itself: it may come after the bag that it belongs to was handed over.

Owns the route. The answer is that of the authority as it came; it tells nothing of the case but the digest of an
envelope, and whoever has the envelope holds it against that.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response

from activities.evidence.sealing.names import sort_out
from activities.evidence.vault.interface import CaseReader
from api.auth import VIEWER
from api.dependencies import Given
from api.errors import NotFound
from api.incidents import find_incident
from api.paths import IncidentId
from api.problems import Responses, documented

MEDIA_TYPE = "application/timestamp-reply"
ANSWER: Responses = {200: {"content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}}
PROBLEMS = documented(401, 403, 404, 422, 503)
router = APIRouter(tags=["evidence"], prefix="/v1/incidents/{incident_id}/evidence/seals")


@router.get(
    "/{number}/timestamp",
    summary="The timestamp of a seal (RFC 3161)",
    responses=PROBLEMS | ANSWER,
    response_class=Response,
    dependencies=[VIEWER],
)
async def read_timestamp(
    incident_id: IncidentId, number: Annotated[int, Path(ge=1, le=999_999)], given: Given
) -> Response:
    """As `openssl ts -verify` reads it too."""
    await find_incident(given, incident_id)
    answer = await asyncio.to_thread(_answer, given.vault.case(incident_id), incident_id, number)
    return Response(answer, media_type=MEDIA_TYPE)


def _answer(reader: CaseReader, incident_id: str, number: int) -> bytes:
    files = sort_out(reader.documents("seals"))
    if number not in files.envelopes:
        raise NotFound(f"Case {incident_id} has no seal {number}.", hint="Seal it: firebreak evidence seal.")
    if number not in files.timestamps:
        raise NotFound(
            f"Seal {number} of case {incident_id} has no timestamp yet.",
            hint="Where an authority is configured it is asked again by itself, for thirty days.",
        )
    return reader.document("seals", files.timestamps[number])
