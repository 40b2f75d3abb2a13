"""Reading a body that nobody vouches for.

Owns the caps on size and depth and the way from bytes to a JSON object. Everything is checked before it is
parsed; nothing here recurses.
"""

import re
from typing import Any, ClassVar

from fastapi import Request
from pydantic_core import from_json

from api.errors import ApiError, BodyInvalid

MAX_DIGITS = 18
# The closing quote is optional and the quantifiers give nothing back, so that no text makes this slow.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)


class BodyTooLarge(ApiError):
    """More bytes than are taken."""

    status: ClassVar[int] = 413
    code: ClassVar[str] = "body-too-large"


class BodyUnreadable(ApiError):
    """Bytes that are no JSON object."""

    code: ClassVar[str] = "body-unreadable"


class NotUtf8(ApiError):
    """Bytes that are no UTF-8."""

    code: ClassVar[str] = "not-utf-8"


class NestedTooDeep(ApiError):
    """JSON with more levels than are taken."""

    code: ClassVar[str] = "nested-too-deep"


class MediaTypeRefused(ApiError):
    """A body that says it is no JSON."""

    status: ClassVar[int] = 415
    code: ClassVar[str] = "media-type-refused"


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body; reading stops at the cap, whatever was announced.

    Raises:
        BodyTooLarge: there is more.
    """
    announced = request.headers.get("content-length", "0")
    # The server has checked that it is a number; the length keeps int() from reading a book.
    if announced.isdecimal() and (len(announced) > MAX_DIGITS or int(announced) > max_bytes):
        raise _too_large(max_bytes)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def check_media_type(content_type: str | None) -> None:
    """Refuse what says it is something else; saying nothing is fine.

    Raises:
        MediaTypeRefused: it is something else.
    """
    essence = (content_type or "application/json").partition(";")[0].strip().lower()
    if essence != "application/json" and not essence.endswith("+json"):
        raise MediaTypeRefused("The body is not announced as JSON.", hint="Send Content-Type: application/json.")


def check_utf8(body: bytes) -> str:
    """The text.

    Raises:
        NotUtf8: it is none.
    """
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise NotUtf8(
            f"Byte {error.start} of the body is not UTF-8.",
            hint="JSON between systems is UTF-8 (RFC 8259, 8.1).",
        ) from None


def parse_object(body: bytes, max_depth: int) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        NestedTooDeep: it has more levels than `max_depth`.
        BodyUnreadable: it is no JSON.
        BodyInvalid: it is JSON and no object.
    """
    _check_depth(body, max_depth)
    try:
        document = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        # The parser's message gives line and column and repeats nothing of the text.
        raise BodyUnreadable(f"The body is not JSON: {error}.", hint="Send one JSON object.") from None
    if not isinstance(document, dict):
        raise BodyInvalid("The body is JSON, an object was expected.", hint="Send one JSON object.")
    return document


def _check_depth(body: bytes, max_depth: int) -> None:
    depth = 0
    for token in _TOKEN.finditer(body):
        first = token.group()[:1]
        if first in b"[{":
            depth += 1
            if depth > max_depth:
                raise NestedTooDeep(f"The body nests deeper than {max_depth} levels.", hint="Send a flatter document.")
        elif first in b"]}":
            depth -= 1


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The body is larger than {max_bytes} bytes.",
        hint="Send the alert alone; Firebreak asks the SIEM for the rest.",
    )
