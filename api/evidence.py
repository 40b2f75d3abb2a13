"""Evidence and report: list, read, verify; every read is a custody event.

Owns the routes and the headers under which bytes that nobody vouches for leave: as attachments, never shown
by a browser. The report is ours, and is shown under a policy that lets it load and run nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from fastapi import APIRouter
from fastapi.responses import FileResponse, StreamingResponse

from activities.contracts.evidence import CaseVerdict, CustodyEvent, Manifest, VerifyCase
from activities.evidence.receive import content_digest
from api.auth import VIEWER, Responder
from api.dependencies import ApiDependencies, Given
from api.errors import Conflict, NotFound
from api.incidents import find_incident
from api.paths import EvidenceId, IncidentId, Purpose
from api.problems import Responses, documented
from segmentation.workloads import Frozen

CHUNK_BYTES = 256 * 1024
# One self-contained file: styles and pictures inside it, nothing loaded, nothing run, nobody may frame it.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-popups"
)
BYTES: Responses = {200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}}
HTML: Responses = {200: {"content": {"text/html": {}}}}
PROBLEMS = documented(401, 403, 404, 422)
router = APIRouter(tags=["evidence"], prefix="/v1/incidents/{incident_id}")


class EvidenceAltered(Conflict):
    """The vault holds other bytes than the manifest says."""

    code: ClassVar[str] = "evidence-altered"


class EvidenceList(Frozen):
    """What the case holds and what happened to it."""

    case_id: str
    manifests: tuple[Manifest, ...]
    custody: tuple[CustodyEvent, ...]


@router.get("/report", summary="The report as HTML", responses=PROBLEMS | HTML, dependencies=[VIEWER])
async def show_report(incident_id: IncidentId, given: Given) -> FileResponse:
    """One self-contained file."""
    incident = await find_incident(given, incident_id)
    path = _inside(given.vault.root, incident.report_uri)
    if path is None or not path.is_file():
        raise NotFound(f"Incident {incident_id} has no report yet.", hint="It is written at the end of the incident.")
    return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})


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
    return await asyncio.to_thread(given.evidence.verify_case, request)


@router.get(
    "/evidence/{evidence_id}",
    summary="Read one item",
    responses=PROBLEMS | documented(409) | BYTES,
    response_class=StreamingResponse,
)
async def read_evidence(
    incident_id: IncidentId, evidence_id: EvidenceId, given: Given, who: Responder, purpose: Purpose
) -> StreamingResponse:
    """The stored bytes; who reads them and why is in the custody chain before the first one leaves."""
    manifest = await asyncio.to_thread(_manifest, given, incident_id, evidence_id)
    path = await asyncio.to_thread(given.vault.find, incident_id, evidence_id)
    noted = await asyncio.to_thread(
        given.evidence.record, incident_id, evidence_id, action="access", actor=who.actor, purpose=purpose
    )
    item = manifest.item
    if noted.hash_after != item.sha256:
        raise EvidenceAltered(
            f"{evidence_id} has sha256 {noted.hash_after}, its manifest says {item.sha256}.",
            hint="It is not handed out as evidence any more: look at the vault's directory itself.",
        )
    headers = {
        "Content-Disposition": f'attachment; filename="{item.name}"',
        "Content-Digest": content_digest(item.sha256 or ""),
        "Content-Length": str(path.stat().st_size),
    }
    return StreamingResponse(_chunks(path), media_type="application/octet-stream", headers=headers)


def _manifest(given: ApiDependencies, incident_id: str, evidence_id: str) -> Manifest:
    for manifest in given.ledger.custody.manifests(incident_id):
        if manifest.item.evidence_id == evidence_id:
            return manifest
    raise NotFound(
        f"Case {incident_id} has no item {evidence_id}.",
        hint=f"List them: GET /v1/incidents/{incident_id}/evidence.",
    )


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
    finally:
        file.close()


def _inside(root: Path, uri: str) -> Path | None:
    """The file that a `file:` URI names, if it is in the vault."""
    if not uri.startswith("file:"):
        return None
    path = Path(unquote(urlsplit(uri).path)).resolve()
    return path if path.is_relative_to(root) else None
