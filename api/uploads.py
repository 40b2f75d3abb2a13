"""The vault's door for agents: PUT /v1/vault/{incident_id}/{evidence_id}.

Owns streaming a signed upload into the vault, without ever holding it in memory. What arrives and is not
what was announced is not kept; what is kept is never replaced.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request

from activities.contracts.evidence import Storage
from activities.evidence.vault.layout import host_prefix
from api.agents import Agent
from api.bodies import BodyTooLarge
from api.dependencies import ApiDependencies, Given
from api.errors import Forbidden
from api.incidents import find_incident
from api.paths import EvidenceId, IncidentId
from api.problems import documented

router = APIRouter(tags=["agents"])
FileName = Annotated[str, Query(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", description="Name in the vault.")]


@router.put(
    "/v1/vault/{incident_id}/{evidence_id}",
    status_code=201,
    summary="Hand one artefact to the vault",
    responses=documented(401, 403, 404, 409, 413, 422, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def put_artefact(
    incident_id: IncidentId,
    evidence_id: EvidenceId,
    name: FileName,
    request: Request,
    given: Given,
    agent: Agent,
) -> Storage:
    """The same bytes again are no change, so that a lost answer can be asked for again."""
    await find_incident(given, incident_id)
    await asyncio.to_thread(_check_own_item, given, agent.host_id, evidence_id)
    chunks = _Chunks(request, given.limits.evidence_bytes)
    put = partial(given.vault.put_stream, incident_id, evidence_id, name, chunks, sha256=agent.sha256)
    storage = await asyncio.get_running_loop().run_in_executor(given.upload_threads, put)
    await asyncio.to_thread(given.ledger.hosts.seen, agent.host_id, datetime.now(UTC))
    return storage


def _check_own_item(given: ApiDependencies, host_id: str, evidence_id: str) -> None:
    """A host that is taken must not put its own bytes where another's evidence belongs: nothing is replaced."""
    own = [w for w in given.ledger.hosts.hosts().workloads if w.workload_id == host_id]
    if not any(evidence_id.startswith(host_prefix(w.name, w.workload_id)) for w in own):
        raise Forbidden(f"{evidence_id} is no item of host {host_id}.", hint="A host hands over its own evidence.")


class _Chunks:
    """A request's stream, read from another thread than the one that receives it."""

    def __init__(self, request: Request, max_bytes: int) -> None:
        self._stream: AsyncIterator[bytes] = request.stream().__aiter__()
        self._loop = asyncio.get_running_loop()
        self._max_bytes = max_bytes

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        while (chunk := asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()) is not None:
            size += len(chunk)
            if size > self._max_bytes:
                raise BodyTooLarge(f"More than {self._max_bytes} bytes came.", hint="Split the capture.")
            yield chunk

    async def _next(self) -> bytes | None:
        return await anext(self._stream, None)
