"""Which part of an item is asked for (RFC 9110, section 14).

Owns Range and If-Range. One range of bytes is served; several at once are answered with the whole, as section 14.2
allows: nobody resumes a download with several. Pure.
"""

import re
from typing import ClassVar, NamedTuple

from api.errors import ApiError

# A length of more digits is none that a vault has.
_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE)


class RangeUnsatisfiable(ApiError):
    """A range that begins behind the end."""

    status: ClassVar[int] = 416
    code: ClassVar[str] = "range-unsatisfiable"


class Span(NamedTuple):
    """From where, how much; `partial`: it was asked for as a part."""

    start: int
    length: int
    partial: bool


def entity_tag(sha256: str) -> str:
    """The strong validator of an item: its digest."""
    return f'"{sha256}"'


def asked_span(range_header: str | None, if_range: str | None, tag: str, size: int) -> Span:
    """What of `size` bytes is asked for.

    Raises:
        RangeUnsatisfiable: nothing of it is there.
    """
    whole = Span(0, size, partial=False)
    found = _RANGE.fullmatch(range_header.strip()) if range_header else None
    # Another item than the one whose part the caller has, or a date, which nothing here has: everything anew.
    if found is None or (if_range is not None and if_range.strip() != tag):
        return whole
    first, last = found[1], found[2]
    if not first and not last:
        return whole
    if first and last and int(last) < int(first):
        return whole
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        raise RangeUnsatisfiable(
            f"The item has {size} bytes, none of them in {found[0][:60]}.",
            hint="Content-Range says how long it is.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return Span(start, end - start, partial=True)
