"""Problem documents (RFC 9457): every error of the API, in one shape.

Owns the translation from errors to `application/problem+json`. Never repeats what was sent, never answers
HTML.

    {"type": "urn:firebreak:problem:decision-refused", "title": "Conflict", "status": 409,
     "code": "decision-refused", "detail": "The decision is for plan sha256:1f..., the gate asks about ...",
     "hint": "Read the current plan and decide on its hash."}
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from api.errors import ApiError, BodyInvalid, FieldProblem
from segmentation.errors import FirebreakError

MEDIA_TYPE = "application/problem+json"
MAX_FIELDS = 20
STATUS = {
    "decision-refused": 409,
    "cursor-invalid": 400,
    "host-key-conflict": 409,
    "join-token-refused": 401,
    "chain-conflict": 409,
    "export-broken": 409,
    "hold-refused": 409,
    "preview-failed": 422,
    "preview-unconfined": 501,
    "upload-refused": 401,
    "upload-too-large": 413,
    "vault-conflict": 409,
    "vault-denied": 503,
    "vault-mismatch": 422,
    "vault-missing": 404,
    "vault-refused": 422,
}
log = structlog.get_logger(__name__)


class Problem(BaseModel):
    """A problem document, as the OpenAPI document describes it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:firebreak:problem:not-found",
                "title": "Not Found",
                "status": 404,
                "code": "not-found",
                "detail": "There is no incident inc-000000000000.",
                "hint": "List them: GET /v1/incidents.",
            }
        }
    )

    type: str = Field(description="Names the kind of problem; stable.")
    title: str
    status: int
    code: str = Field(description="The last part of `type`; stable, for machines.")
    detail: str = Field(description="What was expected and what was found.")
    hint: str = Field(default="", description="What to do.")
    errors: list[dict[str, str]] = Field(default_factory=list, description="`pointer` and `detail` of each field.")


Responses = dict[int | str, dict[str, Any]]


def documented(*statuses: int) -> Responses:
    """These statuses, for the OpenAPI document."""
    return {status: {"model": Problem} for status in statuses}


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    hint: str = "",
    fields: Iterable[FieldProblem] = (),
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem document as a response."""
    body: dict[str, Any] = {"type": f"urn:firebreak:problem:{code}", "title": HTTPStatus(status).phrase}
    body |= {"status": status, "code": code, "detail": detail}
    body |= {"hint": hint} if hint else {}
    body |= {"errors": list(fields)} if fields else {}
    return JSONResponse(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def from_error(error: FirebreakError) -> JSONResponse:
    """The problem that an error of ours is."""
    if isinstance(error, ApiError):
        return problem(
            error.status,
            error.code,
            error.summary,
            hint=error.hint,
            fields=error.fields,
            headers=error.headers,
        )
    status = STATUS.get(error.code, 503 if error.retryable else 500)
    return problem(status, error.code, error.summary, hint=error.hint)


def fields_of(error: ValidationError | RequestValidationError, prefix: tuple[str, ...] = ()) -> list[FieldProblem]:
    """What is wrong with which field, without the values that were sent."""
    return [
        FieldProblem(pointer((*prefix, *(str(part) for part in found["loc"]))), str(found["msg"])[:300])
        for found in error.errors()[:MAX_FIELDS]
    ]


def pointer(parts: Iterable[str]) -> str:
    """An RFC 6901 pointer."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1")[:200] for part in parts)


class ProblemApi(FastAPI):
    """An application whose OpenAPI document gives problems the media type that they have."""

    def openapi(self) -> dict[str, Any]:
        """The document; FastAPI itself takes every model to leave as application/json."""
        document = super().openapi()
        for item in document["paths"].values():
            for operation in item.values():
                for response in operation["responses"].values():
                    content = response.get("content", {})
                    if content.get("application/json", {}).get("schema", {}).get("$ref", "").endswith("/Problem"):
                        content[MEDIA_TYPE] = content.pop("application/json")
        return document


def install(app: FastAPI) -> None:
    """Let every error of the application leave as a problem."""
    app.add_exception_handler(FirebreakError, _firebreak)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(OperationalError, _ledger_away)
    app.add_exception_handler(Exception, _unexpected)


async def _firebreak(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, FirebreakError):
        raise error
    answer = from_error(error)
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request failed", code=error.code, error=str(error))
    return answer


async def _validation(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    summary = "The request does not have the expected form."
    return from_error(BodyInvalid(summary, hint="See errors, and /openapi.json.", fields=tuple(fields_of(error))))


async def _http(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    phrase = HTTPStatus(error.status_code).phrase
    headers = dict(error.headers) if error.headers else None
    return problem(error.status_code, phrase.lower().replace(" ", "-"), f"{phrase}.", headers=headers)


async def _ledger_away(_request: Request, error: Exception) -> JSONResponse:
    log.error("ledger is away", error=str(error))
    return problem(503, "ledger-away", "The ledger does not answer.", hint="Send it again; see firebreak doctor.")


async def _unexpected(_request: Request, error: Exception) -> JSONResponse:
    log.error("request failed unexpectedly", exc_info=error)
    return problem(500, "internal-error", "The request failed for a reason that is ours.", hint="The log says more.")
