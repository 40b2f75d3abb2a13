"""Evidence and report: find, list, read, verify; every read is a custody event.

Owns the routes and who may call them. How bytes leave is `api.downloads`; the report is ours, and is shown under a
policy that lets it load and run nothing.
"""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from activities.contracts.custody import CaseVerdict, CustodyEvent, Manifest, VerifyCase
from activities.contracts.evidence import EvidenceKind, OutcomeState
from activities.evidence.errors import VaultMissing
from activities.ledger.evidence import EvidenceFilter, EvidencePage
from api.auth import VIEWER, Responder
from api.dependencies import ApiDependencies, Given
from api.downloads import Reading, describe, hand_out
from api.errors import NotFound
from api.incidents import find_incident
from api.paths import EvidenceId, IncidentId, Purpose
from api.problems import Responses, documented
from playbooks.forensics import Tlp
from segmentation.workloads import Frozen

# One self-contained file: styles and pictures inside it, nothing loaded, nothing run, nobody may frame it.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-popups"
)
_OCTETS = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
BYTES: Responses = {200: _OCTETS, 206: _OCTETS | {"description": "The part that Range asks for."}}
HTML: Responses = {200: {"content": {"text/html": {}}}}
PROBLEMS = documented(401, 403, 404, 422)
RANGES = {
    "parameters": [
        {"in": "header", "name": name, "required": False, "schema": {"type": "string"}, "description": what}
        for name, what in (
            ("Range", "One range of bytes."),
            ("If-Range", "ETag of the part that is there."),
        )
    ]
}
router = APIRouter(tags=["evidence"], prefix="/v1/incidents/{incident_id}")
everywhere = APIRouter(tags=["evidence"])


class EvidenceList(Frozen):
    """What the case holds and what happened to it."""

    case_id: str
    manifests: tuple[Manifest, ...]
    custody: tuple[CustodyEvent, ...]


@everywhere.get(
    "/v1/evidence", summary="Find evidence", responses=documented(400, 401, 403, 422), dependencies=[VIEWER]
)
async def find_evidence(  # noqa: PLR0913 - each is one query parameter
    given: Given,
    *,
    incident: Annotated[str | None, Query(max_length=253)] = None,
    host: Annotated[str | None, Query(max_length=256, description="Name or id of a host or target.")] = None,
    kind: Annotated[EvidenceKind | None, Query()] = None,
    outcome: Annotated[OutcomeState | None, Query()] = None,
    since: Annotated[datetime | None, Query(description="Collected then or later; UTC without a zone.")] = None,
    until: Annotated[datetime | None, Query(description="Collected before.")] = None,
    text: Annotated[str | None, Query(max_length=256, description="Part of the item's id or file name.")] = None,
    tlp: Annotated[Tlp | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=512, description="next_cursor of the page before.")] = None,
) -> EvidencePage:
    """Of every incident, the newest first; items that could not be collected too, with the reason."""
    wanted = EvidenceFilter(
        incident_id=incident, host=host, kind=kind, outcome=outcome, since=since, until=until, text=text, tlp=tlp
    )
    return await asyncio.to_thread(given.ledger.evidence.find, wanted, limit=limit, cursor=cursor)


@router.get("/report", summary="The report as HTML", responses=PROBLEMS | HTML, dependencies=[VIEWER])
async def show_report(incident_id: IncidentId, given: Given) -> Response:
    """One self-contained file."""
    incident = await find_incident(given, incident_id)
    content = await asyncio.to_thread(_report, given, incident_id, incident.report_uri)
    return Response(content, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})


@router.get("/evidence", summary="List the case's items and their custody", responses=PROBLEMS, dependencies=[VIEWER])
async def list_evidence(incident_id: IncidentId, given: Given) -> EvidenceList:
    """Items that could not be collected are listed too, with the reason."""
    await find_incident(given, incident_id)
    manifests = await asyncio.to_thread(given.ledger.custody.manifests, incident_id)
    custody = await asyncio.to_thread(given.ledger.custody.custody, incident_id)
    return EvidenceList(case_id=incident_id, manifests=tuple(manifests), custody=tuple(custody))


# Stands before the route of one item: no item can be named verification.
@router.get("/evidence/verification", summary="Recompute every hash of the case", responses=PROBLEMS)
async def verify_evidence(
    incident_id: IncidentId, given: Given, who: Responder, purpose: Purpose = "asked over the API"
) -> CaseVerdict:
    """Vault against manifests, manifests and custody against their chains, the head against the ledger."""
    await find_incident(given, incident_id)
    request = VerifyCase(incident_id=incident_id, actor=who.actor, purpose=purpose)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(given.verify_threads, given.evidence.verify_case, request)


@router.get(
    "/evidence/{evidence_id}",
    summary="Read one item, or a part of it",
    responses=PROBLEMS | documented(409, 416) | BYTES,
    response_class=StreamingResponse,
    openapi_extra=RANGES,
)
async def read_evidence(
    incident_id: IncidentId, evidence_id: EvidenceId, request: Request, given: Given, who: Responder, purpose: Purpose
) -> Response:
    """The stored bytes; who reads them and why is in the custody chain before the first one leaves.

    One range of bytes at a time; with `If-Range` a download goes on where it broke off.
    """
    manifest = await find_manifest(given, incident_id, evidence_id)
    reading = Reading(case_id=incident_id, item=manifest.item, actor=who.actor, purpose=purpose)
    return await hand_out(given, reading, request.headers)


@router.head(
    "/evidence/{evidence_id}",
    summary="How long an item is, and its digest",
    responses=PROBLEMS | documented(409) | {200: _OCTETS},
    response_class=Response,
    dependencies=[VIEWER],
)
async def describe_evidence(incident_id: IncidentId, evidence_id: EvidenceId, given: Given) -> Response:
    """No byte is read: no custody event."""
    manifest = await find_manifest(given, incident_id, evidence_id)
    return await describe(given, Reading(case_id=incident_id, item=manifest.item, actor="", purpose=""))


async def find_manifest(given: ApiDependencies, incident_id: str, evidence_id: str) -> Manifest:
    """The manifest of an item.

    Raises:
        NotFound: the case has no such item.
    """
    found = await asyncio.to_thread(given.ledger.custody.manifest, incident_id, evidence_id)
    if found is None:
        raise NotFound(
            f"Case {incident_id} has no item {evidence_id}.",
            hint=f"List them: GET /v1/incidents/{incident_id}/evidence.",
        )
    return found


def _report(given: ApiDependencies, incident_id: str, uri: str) -> bytes:
    """The report that the incident names, if it is a document of its own case in our vault."""
    folder, _, name = _plain(uri).rpartition("/")
    missing = NotFound(f"Incident {incident_id} has no report yet.", hint="It is written at the end of the incident.")
    if folder != f"{given.vault.uri}/case/{incident_id}/documents":
        raise missing
    try:
        return given.vault.case(incident_id).document("documents", name)
    except VaultMissing as error:
        raise missing from error


def _plain(uri: str) -> str:
    """The same place without links and turns on the way to it."""
    return Path(unquote(urlsplit(uri).path)).resolve().as_uri() if uri.startswith("file:///") else uri
