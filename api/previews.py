"""Previews of evidence, for people who would rather look than read.

Owns the route and its custody event. The bytes are looked at by a process that is cut off from the network and has no
rights (`activities.evidence.preview`); here its document becomes JSON or a page that loads and runs nothing.
"""

import asyncio
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from activities.contracts.custody import Manifest
from activities.contracts.incident import IncidentSnapshot
from activities.evidence.preview.documents import PreviewOfItem, PreviewRequest
from activities.evidence.preview.process import Examined, preview_item
from activities.evidence.preview.render import PreviewPage, policy, render
from api.auth import Responder
from api.dependencies import ApiDependencies, Given
from api.downloads import Reading, altered, checked_size, note, stored
from api.evidence import find_manifest
from api.incidents import find_incident
from api.paths import EvidenceId, IncidentId, Purpose
from api.problems import Responses, documented

SHOWN: Responses = {200: {"model": PreviewOfItem, "content": {"text/html": {}}}}
router = APIRouter(tags=["evidence"], prefix="/v1/incidents/{incident_id}")
Search = Annotated[str, Query(max_length=200, description="Part of a line, an event, an entry, an address.")]
PageNumber = Annotated[int, Query(ge=1, le=100_000)]


@router.get(
    "/evidence/{evidence_id}/preview",
    summary="Look at one item",
    responses=documented(401, 403, 404, 409, 422, 501, 503) | SHOWN,
)
async def preview_evidence(  # noqa: PLR0913 - each is a parameter
    incident_id: IncidentId,
    evidence_id: EvidenceId,
    given: Given,
    who: Responder,
    *,
    purpose: Purpose,
    q: Search = "",
    page: PageNumber = 1,
    format: Annotated[Literal["html", "json"], Query()] = "html",  # noqa: A002 - the query's name
) -> Response:
    """A summary of a capture, a timeline of events, a table, a tree, text or bytes: whatever the item is.

    Looking is reading: it is in the custody chain, with the purpose.
    """
    manifest = await find_manifest(given, incident_id, evidence_id)
    reading = Reading(case_id=incident_id, item=manifest.item, actor=who.actor, purpose=f"preview: {purpose}")
    keep = {"purpose": purpose}
    return await show(given, manifest, reading, PageAsked(q=q, page=page, keep=keep, as_json=format == "json"))


class PageAsked:
    """Which part of a preview is asked for, and how."""

    def __init__(self, *, q: str, page: int, keep: dict[str, str], as_json: bool = False) -> None:
        self.q, self.page, self.keep, self.as_json = q, page, keep, as_json


async def show(given: ApiDependencies, manifest: Manifest, reading: Reading, asked: PageAsked) -> Response:
    """The custody event, then the preview.

    Raises:
        EvidenceAltered: the bytes are not what was collected.
        PreviewFailed, PreviewUnconfined, PreviewBusy: see there.
    """
    digest = reading.sha256  # raises where nothing was collected
    cut_at = _cut_at(await find_incident(given, manifest.case_id), manifest)
    await asyncio.to_thread(checked_size, given, reading)
    await asyncio.to_thread(note, given, reading, "access", reading.purpose)
    request = PreviewRequest(
        kind=manifest.item.kind,
        media_type=manifest.item.media_type,
        name=manifest.item.name,
        q=asked.q,
        page=asked.page,
        cut_at=cut_at.timestamp() if cut_at else None,
    )
    loop = asyncio.get_running_loop()
    document = await loop.run_in_executor(given.preview_threads, _look, given, reading, request, digest)
    if asked.as_json:
        return Response(document.model_dump_json(), media_type="application/json")
    page = PreviewPage(manifest=manifest, document=document, cut_at=cut_at, q=asked.q, keep=asked.keep)
    content = await asyncio.to_thread(render, page)
    return Response(content, media_type="text/html", headers={"Content-Security-Policy": policy()})


def _look(given: ApiDependencies, reading: Reading, request: PreviewRequest, digest: str) -> PreviewOfItem:
    known = given.previews.get(digest, request)
    verified = known is not None
    if known is None:
        examined = preview_item(stored(given, reading), request)
        known, verified = examined.preview, examined.complete
        if verified:
            _check(given, reading, examined, digest)
            given.previews.put(digest, request, known)
    return PreviewOfItem(
        case_id=reading.case_id,
        evidence_id=reading.item.evidence_id,
        size=reading.item.size,
        verified=verified,
        preview=known,
    )


def _check(given: ApiDependencies, reading: Reading, examined: Examined, digest: str) -> None:
    if examined.sha256 != digest:
        note(given, reading, "verify", f"{reading.purpose} (refused: the bytes were altered)", found=examined.sha256)
        raise altered(reading, f"sha256 {examined.sha256}")


def _cut_at(incident: IncidentSnapshot, manifest: Manifest) -> datetime | None:
    """When the item's source was contained; where it is none of the targets, the first of them."""
    moments = {t.workload.workload_id: t.applied_at for t in incident.targets if t.applied_at is not None}
    source = manifest.item.source.resource_id
    return moments.get(source) or min(moments.values(), default=None)
