"""How long texts, numbers and lists may be that somebody else fills: a host that was taken says what it likes.

Owns the bounded types and the ways of honest people to stay within them: what is cut says so. Pure.

    cut("a very long reason", 10)          # -> "a very [~]"
    few(("one", "two", "three"), 2)        # -> ("one", "and 2 more")
    fitting(measurements, max_bytes=1024)  # the first that fit
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

# A payload of the engine may have 2 MiB; an incident brings many hosts' answers into one.
PAYLOAD_BYTES = 2 << 20
CUT_MARK = "[~]"
# Canonical JSON (RFC 8785) has no greater integer, and plans and manifests are hashed in it.
MAX_INTEGER = (1 << 53) - 1

# No NUL, which PostgreSQL keeps in no text, so that it would keep the whole record from being written; no other control
# character but tabs and ends of lines either: a terminal would do what they say.
_CONTROL = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f"
_PLAIN = rf"^[^{_CONTROL}]*$"
_CONTROLS = re.compile(f"[{_CONTROL}]")
Word = Annotated[str, StringConstraints(max_length=256, pattern=_PLAIN)]
Line = Annotated[str, StringConstraints(max_length=2000, pattern=_PLAIN)]
LongLine = Annotated[str, StringConstraints(max_length=8192, pattern=_PLAIN)]
Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Milliseconds = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
# Of a clock that may be wrong, but with which can be reckoned: a lease added to the year 9999 is none any more.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
Moment = Annotated[AwareDatetime, Field(ge=EARLIEST, lt=LATEST)]

REASON_LENGTH = 500
COMMAND_LENGTH = 1000
Document = TypeVar("Document", bound=BaseModel)


def cut(text: str, limit: int = REASON_LENGTH) -> str:
    """The text without control characters, or as much of its beginning as fits with a mark that there was more."""
    plain = _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
    return plain if len(plain) <= limit else plain[: max(0, limit - len(CUT_MARK))] + CUT_MARK


def few(lines: Iterable[str], limit: int, length: int = REASON_LENGTH) -> tuple[str, ...]:
    """Each line cut, and a last one that counts those that are too many."""
    every = tuple(lines)
    kept = every if len(every) <= limit else every[: limit - 1]
    more = (f"and {len(every) - len(kept)} more",) if len(kept) < len(every) else ()
    return (*(cut(line, length) for line in kept), *more)


def countable(number: int | None) -> int | None:
    """The number, or none where a file that is broken tells of one that can't be."""
    return number if number is not None and 0 <= number <= MAX_INTEGER else None


def few_words(words: Sequence[str], limit: int) -> tuple[str, ...]:
    """The first of a command's arguments, together no longer than the limit, and how many are left out."""
    left, kept = limit, 0
    for word in words:
        left -= len(word) + 1
        if left < 0:
            break
        kept += 1
    if kept == len(words):
        return tuple(words)
    return (*words[:kept], f"{CUT_MARK} {len(words) - kept} more arguments")


def plausible(moment: datetime, otherwise: datetime) -> datetime:
    """The moment, or another where a file that is broken tells of one that can't be."""
    return moment if EARLIEST <= moment < LATEST else otherwise


def fitting(documents: Iterable[Document], max_bytes: int) -> tuple[Document, ...]:
    """The first documents that together take no more than so many bytes of JSON."""
    left, found = max_bytes, []
    for document in documents:
        left -= size_of(document) + 1
        if left < 0:
            break
        found.append(document)
    return tuple(found)


def size_of(document: BaseModel) -> int:
    """Bytes that it takes in a payload."""
    return len(document.model_dump_json().encode())
