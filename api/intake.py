"""Intake: POST /v1/alerts/{source}.

Owns the door: who sends, how much, how often, signed or not; then the ledger commits and the dispatcher is
woken. The answer is 202 only after the commit. A refused message leaves its count and nothing else.
"""

import asyncio
import hashlib
import math
from datetime import UTC, datetime
from typing import ClassVar, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from api.bodies import check_media_type, check_utf8, parse_object, read_body
from api.dependencies import ApiDependencies, Given
from api.ecs import alert_from_ecs
from api.errors import ApiError
from api.examples import ALERT
from api.problems import documented
from api.sources import Source
from playbooks.alerts import Alert, ReceivedAlert
from segmentation.workloads import Frozen

UNKNOWN_SOURCE = "(unknown)"
MAX_ID = 256
SIGNATURE_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
router = APIRouter(tags=["alerts"])


class SourceUnknown(ApiError):
    """A source that nobody configured."""

    status: ClassVar[int] = 404
    code: ClassVar[str] = "source-unknown"


class SignatureRefused(ApiError):
    """A message that does not prove where it comes from."""

    status: ClassVar[int] = 401
    code: ClassVar[str] = "signature-refused"


class WebhookIdInvalid(ApiError):
    """An id that can't tell a repeat from a new message."""

    code: ClassVar[str] = "webhook-id-invalid"


class RateExceeded(ApiError):
    """More alerts than this source may send."""

    status: ClassVar[int] = 429
    code: ClassVar[str] = "rate-exceeded"


class AlertAnswer(Frozen):
    """What became of an alert."""

    incident_id: str
    status: Literal["accepted", "already-known"]
    alerts: int = Field(description="Alerts that the incident has counted.")


@router.post(
    "/v1/alerts/{source}",
    status_code=202,
    response_model=AlertAnswer,
    summary="Hand over an alert",
    responses=documented(400, 401, 404, 413, 415, 422, 429),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "An ECS document, signed by Standard Webhooks 1.0 where the source can.",
            "content": {"application/json": {"schema": Alert.model_json_schema(), "example": ALERT}},
        },
        "parameters": [
            {"in": "header", "name": name, "schema": {"type": "string"}, "required": False}
            for name in SIGNATURE_HEADERS
        ],
    },
)
async def receive_alert(source: str, request: Request, given: Given) -> Response:
    """Committed when answered with 202, also while the workflow engine is away."""
    try:
        received = await _receive(source, request, given)
    except ApiError as error:
        known = source if given.sources.find(source) is not None else UNKNOWN_SOURCE
        await given.meter.count(known, error.code)
        raise
    loop = asyncio.get_running_loop()
    accepted = await loop.run_in_executor(given.intake_threads, given.ledger.intake.accept, received)
    if not accepted.known:
        given.wake()
    answer = AlertAnswer(
        incident_id=accepted.incident_id,
        status="already-known" if accepted.known else "accepted",
        alerts=accepted.count,
    )
    return Response(answer.model_dump_json(), status_code=202, media_type="application/json")


async def _receive(name: str, request: Request, given: ApiDependencies) -> ReceivedAlert:
    """Everything that is checked before anything is written."""
    source = given.sources.find(name)
    if source is None:
        raise SourceUnknown("There is no such source.", hint="Configure it first: firebreak source add NAME.")
    check_media_type(request.headers.get("content-type"))
    body = await read_body(request, given.limits.alert_bytes)
    text = check_utf8(body)
    webhook_id = _proven_id(source, request, text)
    # Only now: who can't prove to be the source must not use up what the source may send.
    _take_one(source, given)
    alert = alert_from_ecs(parse_object(body, given.limits.json_depth))
    return ReceivedAlert(
        webhook_id=webhook_id, source=name, signed=source.signed, received_at=datetime.now(UTC), alert=alert
    )


def _take_one(source: Source, given: ApiDependencies) -> None:
    wait = given.rates.take(source.name, source.rate_per_second, source.burst)
    if wait:
        raise RateExceeded(
            f"Source {source.name} sends more than {source.rate_per_second:g} alerts a second.",
            hint="Send again after Retry-After seconds, or group alerts at the source.",
            headers={"Retry-After": str(math.ceil(wait))},
        )


def _proven_id(source: Source, request: Request, text: str) -> str:
    """The id of a message whose sender proved itself."""
    if source.signed:
        _check_signature(source, request, text)
    elif not source.accepts_bearer(_bearer(request)):
        raise SignatureRefused(
            f"Source {source.name} did not send its bearer token.", hint="Send Authorization: Bearer TOKEN."
        )
    # Without an id, the same bytes are the same message: a sender that tries again sends what it sent.
    webhook_id = request.headers.get("webhook-id") or "body-" + hashlib.sha256(text.encode()).hexdigest()
    if len(webhook_id) > MAX_ID:
        raise WebhookIdInvalid(f"webhook-id is longer than {MAX_ID} characters.", hint="Send a shorter unique id.")
    return webhook_id


def _check_signature(source: Source, request: Request, text: str) -> None:
    missing = [name for name in SIGNATURE_HEADERS if not request.headers.get(name)]
    if missing:
        raise SignatureRefused(
            f"The message lacks {', '.join(missing)}.",
            hint="Sign as Standard Webhooks 1.0 says, with this source's secret.",
        )
    headers = {name: request.headers[name] for name in SIGNATURE_HEADERS}
    reason = ""
    for secret in source.secrets:
        try:
            Webhook(secret.get_secret_value()).verify(text, headers, json_parse=False)
        except WebhookVerificationError as error:
            reason = str(error)
        except ValueError:
            reason = "the signature is not of the form v1,BASE64"
        else:
            return
    raise SignatureRefused(
        f"The signature was not accepted: {reason}.",
        hint="Check secret and clock: id.timestamp.body is signed, and the time may differ by 5 minutes.",
    )


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
