"""Hosts: joining, listing, forgetting, and what their agents report.

Owns the routes. A host proves its joining by a token, and everything later by its key.
"""

import asyncio
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import AfterValidator, Base64Bytes, ConfigDict, Field, StringConstraints, ValidationError

from activities.ledger.hosts import HostEntry
from activities.ledger.join_tokens import JoinToken
from api.agents import Agent, check_own, signed_body
from api.auth import VIEWER, Admin, Credentials
from api.dependencies import ApiDependencies, Given
from api.errors import BodyInvalid, NotFound, Unauthenticated
from api.examples import JOIN, JOIN_TOKEN, ORDER_REFUSAL
from api.paths import HostId
from api.problems import documented, fields_of
from playbooks.host_isolation import LifelineEndpoint
from segmentation.workloads import Frozen, Name, Workload

router = APIRouter(tags=["hosts"])
ED25519_BYTES = 32
Reason = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


def _ed25519(key: bytes) -> bytes:
    """Length constraints on the field would count the base64."""
    if len(key) != ED25519_BYTES:
        raise ValueError(f"{len(key)} bytes, expected {ED25519_BYTES}")
    return key


class JoinBody(Frozen):
    """A host that wants in: who it is, and the public key that it will sign with."""

    model_config = ConfigDict(json_schema_extra={"example": JOIN})

    workload: Workload
    public_key: Annotated[Base64Bytes, AfterValidator(_ed25519)] = Field(description="Ed25519, 32 bytes in base64.")


class TemporalPlace(Frozen):
    """Where the workflow engine is, as seen from hosts."""

    address: str
    namespace: str


class JoinAnswer(Frozen):
    """The control plane that the host obeys from now on; it pins the key."""

    host_id: str
    queue: str
    control_public_key: str = Field(description="Ed25519, 32 bytes in base64.")
    temporal: TemporalPlace
    siem_url: str
    api_url: str
    lifeline: tuple[LifelineEndpoint, ...]


class JoinTokenBody(Frozen):
    """A token by which hosts may join."""

    model_config = ConfigDict(json_schema_extra={"example": JOIN_TOKEN})

    name: Name
    lifetime_seconds: int = Field(default=3600, ge=60, le=30 * 86400)
    uses: int | None = Field(default=1, ge=1, le=100_000, description="Hosts it lets in; null: any number.")


class OrderRefusal(Frozen):
    """An order that an agent refused to carry out."""

    model_config = ConfigDict(json_schema_extra={"example": ORDER_REFUSAL})

    order_id: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    verb: Annotated[str, StringConstraints(max_length=128)] = ""
    reason: Reason
    incident_id: Name | None = None


class Noted(Frozen):
    """The audit event that was written."""

    hash: str


@router.post("/v1/hosts/join", summary="Join a host", responses=documented(401, 409, 422))
async def join_host(body: JoinBody, given: Given, credentials: Credentials) -> JoinAnswer:
    """With a join token as bearer token. A host that is known joins again with the key that it has."""
    if credentials is None:
        raise Unauthenticated("A join token is needed.", hint="Make one: firebreak join-token create NAME.")
    token, host = credentials.credentials, body.workload
    await asyncio.to_thread(given.ledger.join_tokens.join, token, host, body.public_key)
    await asyncio.to_thread(_audit_join, given, host)
    place = given.advertised
    return JoinAnswer(
        host_id=host.workload_id,
        queue=host.queue,
        control_public_key=b64encode(given.control_public_key).decode(),
        temporal=TemporalPlace(address=place.temporal_address, namespace=place.temporal_namespace),
        siem_url=place.siem_url,
        api_url=place.api_url,
        lifeline=place.lifeline,
    )


@router.get("/v1/hosts", summary="List hosts", responses=documented(401, 403), dependencies=[VIEWER])
async def list_hosts(given: Given) -> list[HostEntry]:
    """Every host with an agent."""
    return await asyncio.to_thread(given.ledger.hosts.entries)


@router.delete(
    "/v1/hosts/{host_id}", status_code=204, summary="Forget a host", responses=documented(401, 403, 404, 422)
)
async def forget_host(host_id: HostId, given: Given, who: Admin) -> None:
    """Its pinned key goes too: after this another key may join under the id."""
    if not await asyncio.to_thread(given.ledger.hosts.forget, host_id):
        raise NotFound(f"There is no host {host_id}.", hint="List them: GET /v1/hosts.")
    body = {"host_id": host_id}
    await asyncio.to_thread(given.ledger.audit.append, kind="host-forgotten", actor=who.actor, body=body)


@router.post("/v1/join-tokens", status_code=201, summary="Make a join token", responses=documented(401, 403, 422))
async def create_join_token(body: JoinTokenBody, given: Given, who: Admin) -> JoinToken:
    """Shown this once."""
    lifetime = timedelta(seconds=body.lifetime_seconds)
    made = await asyncio.to_thread(given.ledger.join_tokens.create, body.name, lifetime, body.uses)
    noted = {"name": body.name, "uses": body.uses, "expires_at": made.expires_at.isoformat()}
    await asyncio.to_thread(given.ledger.audit.append, kind="join-token-created", actor=who.actor, body=noted)
    return made


@router.post(
    "/v1/hosts/{host_id}/refusals",
    status_code=201,
    summary="Report a refused order",
    responses=documented(401, 403, 413, 422),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": OrderRefusal.model_json_schema(), "example": ORDER_REFUSAL}},
        }
    },
)
async def report_refusal(host_id: HostId, request: Request, given: Given, agent: Agent) -> Noted:
    """Audited and counted. The agent signs; what it says is kept as its word."""
    check_own(agent, host_id)
    raw = await signed_body(request, agent, given.limits.request_bytes)
    try:
        refusal = OrderRefusal.model_validate_json(raw)
    except ValidationError as error:
        fields = tuple(fields_of(error))
        raise BodyInvalid("The report is not of the expected form.", hint="See errors.", fields=fields) from None
    return Noted(hash=await asyncio.to_thread(_note_refusal, given, host_id, refusal))


def _note_refusal(given: ApiDependencies, host_id: str, refusal: OrderRefusal) -> str:
    given.ledger.refusals.count(f"agent:{host_id}", "order-refused")
    given.ledger.hosts.seen(host_id, datetime.now(UTC))
    return given.ledger.audit.append(
        kind="order-refused",
        actor=f"agent:{host_id}",
        body=refusal.model_dump(mode="json"),
        incident_id=refusal.incident_id,
    )


def _audit_join(given: ApiDependencies, host: Workload) -> None:
    body = host.model_dump(mode="json")
    given.ledger.audit.append(kind="host-joined", actor=f"agent:{host.workload_id}", body=body)
