"""What the API refuses by itself, each with its HTTP status.

Errors of lower floors get theirs in `api.problems`.
"""

from typing import ClassVar

from segmentation.errors import FirebreakError


class FieldProblem(dict[str, str]):
    """`pointer` (RFC 6901) and `detail` of one field."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(pointer=pointer, detail=detail)


class ApiError(FirebreakError):
    """An error with the status, and where it helps headers and fields, that the answer carries."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad-request"

    def __init__(
        self,
        summary: str,
        *,
        hint: str = "",
        fields: tuple[FieldProblem, ...] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(summary, hint=hint)
        self.fields = fields
        self.headers = headers or {}


class Unauthenticated(ApiError):
    """Nobody we know says this."""

    status = 401
    code = "unauthenticated"

    def __init__(self, summary: str, *, hint: str = "") -> None:
        super().__init__(summary, hint=hint, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(ApiError):
    """Somebody we know, without the role."""

    status = 403
    code = "forbidden"


class NotFound(ApiError):
    """There is no such thing."""

    status = 404
    code = "not-found"


class Conflict(ApiError):
    """What stands already does not allow it."""

    status = 409
    code = "conflict"


class BodyInvalid(ApiError):
    """A body that reads, and does not say what was expected."""

    status = 422
    code = "body-invalid"


class Unavailable(ApiError):
    """A part of the system is away; trying again can help."""

    status = 503
    code = "unavailable"
    retryable = True
