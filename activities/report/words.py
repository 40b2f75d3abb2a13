r"""How the report writes moments, spans, sizes and what others have written.

Owns wording alone; every function is pure. Moments are UTC with milliseconds.

    span(timedelta(milliseconds=43))   # -> "43 ms"
    visible("web\u202egpj.exe")         # -> "web\u{202E}gpj.exe"
"""

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

from markupsafe import Markup

# Control, format, surrogate, private, unassigned; line and paragraph separators: they can reorder, hide or
# break what stands beside them. https://www.unicode.org/reports/tr36/
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_STEPS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
_KIB = 1024


def visible(value: Any) -> Any:
    """Text with what the eye can't see spelled out; markup of our own passes."""
    if value is None:
        return ""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "".join(f"\\u{{{ord(c):04X}}}" if unicodedata.category(c) in _UNSEEN else c for c in value)


def utc(moment: datetime) -> datetime:
    """The moment in UTC; one without a zone is taken to be."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def day(moment: datetime) -> str:
    """`2031-05-01`."""
    return utc(moment).strftime("%Y-%m-%d")


def clock(moment: datetime) -> str:
    """`12:00:00.123`."""
    return utc(moment).strftime("%H:%M:%S.%f")[:-3]


def stamp(moment: datetime) -> str:
    """`2031-05-01 12:00:00.123`."""
    return f"{day(moment)} {clock(moment)}"


def span(length: timedelta) -> str:
    """A length of time in its two largest units."""
    seconds = length.total_seconds()
    if seconds < 0:
        return f"-{span(-length)}"
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < _STEPS[-1][0]:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    large, name, small, small_name = next(step for step in _STEPS if whole >= step[0])
    rest = whole % large // small
    return f"{whole // large} {name}" + (f" {rest} {small_name}" if rest else "")


def size(count: int) -> str:
    """Bytes in the unit that leaves two or three digits."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < _KIB:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= _KIB
    return f"{amount:.1f} GiB"


def listed(names: list[str]) -> str:
    """`web`, `web and app`, `web, app and db`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
