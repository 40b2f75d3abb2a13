"""Links to single items: for whom has no token, for minutes, taken back at will.

Owns making, using, listing and taking them back. A link is a read on somebody's word: the custody event names the link,
who made it, what for, and the address that used it. Whoever holds a forged link learns that it is none; whoever holds a
link that has ended learns no more than that.
"""

import asyncio
import math
import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Literal

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field, StringConstraints

from activities.ledger.links import EvidenceLink, LinkState
from api.auth import RESPONDER, Responder
from api.dependencies import ApiDependencies, Given
from api.downloads import Reading, hand_out
from api.errors import ApiError, NotFound
from api.evidence import BYTES, RANGES, find_manifest
from api.examples import EVIDENCE_LINK
from api.link_tokens import MAX_TOKEN, read, sign
from api.paths import EvidenceId, IncidentId
from api.previews import PageAsked, PageNumber, Search, show
from api.problems import Responses, documented
from segmentation.workloads import Frozen

MAX_MINUTES = 60
_OF_ONE_LINK = (2.0, 20)  # a second, at once
_OF_FORGED = (5.0, 50)
LINKS = "/v1/incidents/{incident_id}/evidence/{evidence_id}/links"
PROBLEMS = documented(401, 403, 404, 422)
GIVEN_OUT: Responses = BYTES | {200: {"content": BYTES[200]["content"] | {"text/html": {}}}}
router = APIRouter(tags=["evidence"])
LinkId = Annotated[str, Path(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$", examples=["lnk-5f0c2d"])]
Token = Annotated[str, Path(min_length=1, max_length=MAX_TOKEN)]


class LinkRefused(ApiError):
    """A link that we did not make."""

    status: ClassVar[int] = 403
    code: ClassVar[str] = "link-refused"


class LinkEnded(ApiError):
    """A link that is over: expired, used or taken back."""

    status: ClassVar[int] = 410
    code: ClassVar[str] = "link-ended"


class LinkTooOften(ApiError):
    """More requests than a link is for."""

    status: ClassVar[int] = 429
    code: ClassVar[str] = "rate-exceeded"


class LinkBody(Frozen):
    """What a link is for."""

    model_config = ConfigDict(json_schema_extra={"example": EVIDENCE_LINK})

    purpose: Annotated[str, StringConstraints(min_length=3, max_length=500)]
    minutes: int = Field(default=15, ge=1, le=MAX_MINUTES)
    single_use: bool = Field(default=False, description="Good for one request; some chat programs spend it by looking.")
    view: Literal["bytes", "preview"] = Field(default="bytes", description="The item itself, or the page about it.")


class MadeLink(Frozen):
    """A new link; its address is shown this once."""

    link_id: str
    url: str
    expires_at: datetime


class LinkList(Frozen):
    """Every link that was made to an item."""

    links: tuple[LinkState, ...]


@router.post(LINKS, status_code=201, summary="Make a link to one item", responses=PROBLEMS)
async def make_link(
    incident_id: IncidentId, evidence_id: EvidenceId, body: LinkBody, given: Given, who: Responder
) -> MadeLink:
    """For somebody without a token, for an hour at most."""
    manifest = await find_manifest(given, incident_id, evidence_id)
    _ = Reading(case_id=incident_id, item=manifest.item, actor=who.actor, purpose=body.purpose).sha256
    now = datetime.now(UTC)
    link = EvidenceLink(
        link_id=f"lnk-{secrets.token_hex(8)}",
        case_id=incident_id,
        evidence_id=evidence_id,
        made_by=who.actor,
        purpose=body.purpose,
        view=body.view,
        single_use=body.single_use,
        made_at=now,
        expires_at=now + timedelta(minutes=body.minutes),
    )
    await asyncio.to_thread(given.ledger.evidence_links.add, link)
    url = f"{given.advertised.api_url}/v1/evidence-links/{sign(given.link_key, link)}"
    return MadeLink(link_id=link.link_id, url=url, expires_at=link.expires_at)


@router.get(LINKS, summary="List the links to one item", responses=PROBLEMS, dependencies=[RESPONDER])
async def list_links(incident_id: IncidentId, evidence_id: EvidenceId, given: Given) -> LinkList:
    """With how often each was used; never their addresses."""
    await find_manifest(given, incident_id, evidence_id)
    links = await asyncio.to_thread(given.ledger.evidence_links.of, incident_id, evidence_id)
    return LinkList(links=tuple(links))


@router.delete(LINKS + "/{link_id}", status_code=204, summary="Take a link back", responses=PROBLEMS)
async def revoke_link(
    incident_id: IncidentId, evidence_id: EvidenceId, link_id: LinkId, given: Given, who: Responder
) -> None:
    """At once; a download that runs already is not broken off."""
    revoke = given.ledger.evidence_links.revoke
    if not await asyncio.to_thread(revoke, incident_id, evidence_id, link_id, who.actor):
        raise NotFound(f"{evidence_id} has no link {link_id}.", hint="List them: GET on the item's links.")


@router.get(
    "/v1/evidence-links/{token}",
    summary="Follow a link",
    responses=documented(403, 404, 409, 410, 416, 422, 429, 501, 503) | GIVEN_OUT,
    response_class=Response,
    openapi_extra=RANGES,
)
async def follow_link(
    token: Token,
    request: Request,
    given: Given,
    q: Search = "",
    page: PageNumber = 1,
) -> Response:
    """Needs no token of a person: the link is one. `q` and `page` are for links to a preview."""
    link = await _proven(given, token)
    used = await asyncio.to_thread(given.ledger.evidence_links.use, link.link_id)
    # What is kept counts, not what the token says: they differ where a ledger was put back to an earlier day.
    if used != link:
        raise LinkEnded("This link has ended.", hint="Ask whoever sent it for another.")
    manifest = await find_manifest(given, link.case_id, link.evidence_id)
    address = request.client.host if request.client else "unknown"
    what = "preview: " if link.view == "preview" else ""
    purpose = f"{what}{link.purpose} (link {link.link_id} made by {link.made_by}, used from {address})"
    reading = Reading(case_id=link.case_id, item=manifest.item, actor=f"link:{link.link_id}", purpose=purpose)
    if link.view == "preview":
        return await show(given, manifest, reading, PageAsked(q=q, page=page, keep={}))
    return await hand_out(given, reading, {} if link.single_use else request.headers)


async def _proven(given: ApiDependencies, token: str) -> EvidenceLink:
    """The link of a token that we signed.

    Raises:
        LinkRefused: we did not.
        LinkTooOften: it is used, or such are tried, more often than that.
    """
    link = read(given.link_key, token)
    # Forged ones share a bucket of their own: nobody can use up the requests of a link that they do not have.
    bucket, (rate, burst) = (f"link:{link.link_id}", _OF_ONE_LINK) if link else ("links:forged", _OF_FORGED)
    wait = given.rates.take(bucket, rate, burst)
    if wait:
        headers = {"Retry-After": str(math.ceil(wait))}
        raise LinkTooOften("Links are followed too often.", hint="Try again after Retry-After.", headers=headers)
    if link is None:
        await given.meter.count("(links)", "link-refused")
        raise LinkRefused("This is no link of ours.", hint="Copy the whole address, or ask for another.")
    return link
