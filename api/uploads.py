"""The vault's door for agents: PUT and HEAD of /v1/vault/{incident_id}/{evidence_id}.

Owns the way of a signed upload from HTTP into the vault's `incoming`, part by part, without ever holding it in
memory. A part says where it begins, how large the whole is, and the digest of everything up to its end; what is not
so is not kept. What is in the vault is never replaced.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, ClassVar, TypeVar

from fastapi import APIRouter, Query, Request, Response
from starlette.requests import ClientDisconnect

from activities.contracts.evidence import Storage
from activities.evidence.errors import UploadElsewhere, VaultDenied, VaultKeyRefused, VaultUnavailable
from activities.evidence.receive import OFFSET_HEADER
from activities.evidence.vault.arriving import Place
from activities.evidence.vault.incoming import Incoming
from activities.evidence.vault.layout import host_prefix
from activities.evidence.vault.spool import Part
from api.agents import Agent
from api.dependencies import ApiDependencies, Given
from api.errors import ApiError, Conflict, Forbidden
from api.incidents import find_incident
from api.paths import EvidenceId, IncidentId
from api.problems import documented
from segmentation.workloads import Frozen

router = APIRouter(tags=["agents"])
FileName = Annotated[str, Query(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", description="Name in the vault.")]
Offset = Annotated[int, Query(ge=0, lt=1 << 60, description="Where this part begins; 0 begins anew.")]
Size = Annotated[int | None, Query(ge=0, lt=1 << 60, description="Bytes of the whole; without, this part is all.")]
# A message of the server holds 64 KiB: so many are written and hashed at once, beside the receiving of the next ones.
BATCH_BYTES = 4 << 20
# A large artefact takes longer to get from here to a bucket than anybody waits for an answer.
WAIT_SECONDS = 10.0
RETRY_AFTER_SECONDS = 2
T = TypeVar("T")


class ElsewhereProblem(Conflict):
    """The part does not fit; `Upload-Offset` says what does."""

    code: ClassVar[str] = "upload-offset"


class AwayProblem(ApiError):
    """The vault can't take anything now; what came is kept where it can be."""

    status: ClassVar[int] = 503
    code: ClassVar[str] = "vault-unavailable"


class Progress(Frozen):
    """What is here of an upload that is not in the vault yet."""

    offset: int


@router.put(
    "/v1/vault/{incident_id}/{evidence_id}",
    status_code=201,
    summary="Hand one artefact to the vault, whole or in parts",
    responses=documented(401, 403, 404, 409, 413, 422, 503)
    | {202: {"model": Progress, "description": "More is to come, or the vault is still at it: see `Upload-Offset`."}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def put_artefact(  # noqa: PLR0913, PLR0917 - what a part says of itself
    incident_id: IncidentId,
    evidence_id: EvidenceId,
    name: FileName,
    request: Request,
    response: Response,
    given: Given,
    agent: Agent,
    offset: Offset = 0,
    size: Size = None,
) -> Storage | Progress:
    """The same bytes again are no change, so that a lost answer can be asked for again."""
    await find_incident(given, incident_id)
    place = Place(host_id=agent.host_id, case_id=incident_id, evidence_id=evidence_id, name=name, size=size)
    incoming = await _in_thread(given, lambda: _incoming(given, place))
    part = await _in_thread(given, lambda: incoming.begin(place, offset, agent.sha256))
    end = size or 0
    if isinstance(part, Part):
        await _receive(request, given, lambda batch: incoming.write(place, part, batch))
        await _in_thread(given, lambda: incoming.finish(place, part, agent.sha256))
        end = part.end
        if not incoming.is_whole(place, part):
            return _more(response, end)
        storage = await _kept(await _in_thread(given, lambda: incoming.keep(place, part, agent.sha256)))
    else:
        storage = await _kept(part)
    if storage is None:
        return _more(response, end)
    await asyncio.to_thread(given.ledger.hosts.seen, agent.host_id, datetime.now(UTC))
    return storage


@router.head(
    "/v1/vault/{incident_id}/{evidence_id}",
    status_code=204,
    summary="Where an upload goes on",
    responses=documented(401, 403, 404, 422, 503),
)
async def head_artefact(
    incident_id: IncidentId,
    evidence_id: EvidenceId,
    name: FileName,
    given: Given,
    agent: Agent,
    size: Size = None,
) -> Response:
    """`Upload-Offset`: how many bytes are here; all of them, if the vault has something of this name and size."""
    await find_incident(given, incident_id)
    place = Place(host_id=agent.host_id, case_id=incident_id, evidence_id=evidence_id, name=name, size=size)
    offset = await _in_thread(given, lambda: _incoming(given, place).offset(place))
    return Response(status_code=204, headers={OFFSET_HEADER: str(offset)})


def _incoming(given: ApiDependencies, place: Place) -> Incoming:
    """Where it comes in, if it may."""
    _check_own_item(given, place.host_id, place.evidence_id)
    return given.incoming


async def _receive(request: Request, given: ApiDependencies, write: Callable[[list[bytes]], None]) -> None:
    """Write what comes while more of it comes."""
    batch: list[bytes] = []
    length, writing = 0, asyncio.create_task(asyncio.sleep(0))
    try:
        async for chunk in request.stream():
            batch.append(chunk)
            length += len(chunk)
            if length >= BATCH_BYTES:
                await writing
                writing = asyncio.create_task(_in_thread(given, partial(write, batch)))
                batch, length = [], 0
        await writing
        await _in_thread(given, partial(write, batch))
    except ClientDisconnect as error:
        raise AwayProblem("The upload broke off.", hint="Go on from where HEAD says.") from error
    finally:
        await asyncio.wait([writing])


async def _kept(keeping: "Future[Storage]") -> Storage | None:
    """Where it is kept; None: the vault is still at it."""
    waiting = asyncio.wrap_future(keeping)
    waiting.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to ask
    done, _ = await asyncio.wait([waiting], timeout=WAIT_SECONDS)
    if not done:
        return None
    with _answers():
        return waiting.result()


async def _in_thread(given: ApiDependencies, call: Callable[[], T]) -> T:
    """Run what may wait for a disk or a bucket, with its refusals as the answers that they are."""
    with _answers():
        return await asyncio.get_running_loop().run_in_executor(given.upload_threads, call)


@contextmanager
def _answers() -> Iterator[None]:
    """What the vault can't do now is said so, whyever: nobody gives up evidence for our expired credentials."""
    try:
        yield
    except UploadElsewhere as error:
        headers = {OFFSET_HEADER: str(error.offset)}
        raise ElsewhereProblem(error.summary, hint=error.hint, headers=headers) from error
    except (VaultUnavailable, VaultDenied, VaultKeyRefused) as error:
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        raise AwayProblem(error.summary, hint=error.hint, headers=headers) from error


def _more(response: Response, offset: int) -> Progress:
    response.status_code = 202
    response.headers[OFFSET_HEADER] = str(offset)
    return Progress(offset=offset)


def _check_own_item(given: ApiDependencies, host_id: str, evidence_id: str) -> None:
    """A host that is taken must not put its own bytes where another's evidence belongs: nothing is replaced."""
    own = [w for w in given.ledger.hosts.hosts().workloads if w.workload_id == host_id]
    if not any(evidence_id.startswith(host_prefix(w.name, w.workload_id)) for w in own):
        raise Forbidden(f"{evidence_id} is no item of host {host_id}.", hint="A host hands over its own evidence.")
