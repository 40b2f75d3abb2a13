"""Text of strangers, made harmless to look at.

Owns cutting to a bound and spelling out what the eye can't see: control characters, escapes of a terminal, overrides
of direction, NULs, halves of surrogate pairs. Escaping for HTML is the template's.
"""

from activities.report.words import visible

TEXT_LIMIT = 300
LONG_LIMIT = 2_000
_TAB = "    "


def shown(text: str, limit: int = TEXT_LIMIT) -> str:
    """At most `limit` characters of it, and how many more there are."""
    cut = text[:limit].replace("\t", _TAB)
    # Spelled out, a character can take nine: the bound holds for what is seen as well.
    inert = cut if cut.isprintable() else str(visible(cut))[: 2 * limit]
    more = len(text) - limit
    return f"{inert} … ({more:,} more characters)" if more > 0 else inert


def decoded(octets: bytes, limit: int = LONG_LIMIT) -> str:
    r"""Bytes as text; what is no UTF-8 stands as `\xNN`."""
    return shown(octets.decode("utf-8", "backslashreplace"), limit)
