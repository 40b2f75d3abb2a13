"""Requests of agents: signed by the key that was pinned when the host joined.

Owns the check of the three headers and of the body against its digest. What is signed is said by
`activities.evidence.receive`, which the agent uses too.
"""

import asyncio
import hashlib
import time
from typing import Annotated

from fastapi import Depends, Request

from activities.evidence.errors import UploadRefused
from activities.evidence.receive import HOST_HEADER, UploadClaim, check_upload
from api.bodies import read_body
from api.dependencies import Given
from api.errors import BodyInvalid, Forbidden

AGENTS = "(agents)"


async def agent_claim(request: Request, given: Given) -> UploadClaim:
    """Which host asks, and the digest of what it sends.

    Raises:
        UploadRefused: unknown host, stale, or not signed by that host.
    """
    host_id = request.headers.get(HOST_HEADER, "")
    public_key = await asyncio.to_thread(given.ledger.hosts.public_key, host_id)
    target, headers = _target(request), request.headers
    try:
        return check_upload(request.method, target, headers, public_key=public_key, now=time.time())
    except UploadRefused as error:
        await given.meter.count(AGENTS, error.code)
        raise


Agent = Annotated[UploadClaim, Depends(agent_claim)]


async def signed_body(request: Request, claim: UploadClaim, max_bytes: int) -> bytes:
    """A small body, whole, as it was signed.

    Raises:
        BodyInvalid: it is not what the signature covers.
    """
    body = await read_body(request, max_bytes)
    if hashlib.sha256(body).hexdigest() != claim.sha256:
        raise BodyInvalid("The body is not what Content-Digest says.", hint="Send it again as a whole.")
    return body


def check_own(claim: UploadClaim, host_id: str) -> None:
    """An agent speaks for its own host alone.

    Raises:
        Forbidden: it speaks for another.
    """
    if claim.host_id != host_id:
        raise Forbidden(f"Host {claim.host_id} speaks for host {host_id}.", hint="An agent speaks for its own host.")


def _target(request: Request) -> str:
    """Path and query as they were sent: what was decoded on the way is not what was signed."""
    path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope["query_string"]
    return (path + (b"?" + query if query else b"")).decode("latin-1")
