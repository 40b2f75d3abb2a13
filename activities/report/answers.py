"""What one measured result means, in a word that says whether it is the good one.

Owns the reading of results by aspect: `open` is good news of a lifeline and bad news of a cut. Pure.

    answer("lifeline", "open")   # -> Answer(tone="good", word="reachable")
"""

from dataclasses import dataclass
from typing import Literal

Tone = Literal["good", "care", "bad"]
ASPECTS = {
    "new": "New connections",
    "established": "Established sessions",
    "ipv6": "IPv6",
    "lifeline": "Management lifeline",
    "bystander": "Bystanders",
}
CUT_ASPECTS = {"new", "established", "ipv6"}
_REACHED = {"open": "reachable", "cut": "unreachable"}


@dataclass(frozen=True)
class Answer:
    """One result."""

    tone: Tone
    word: str


def answer(aspect: str, result: str) -> Answer:
    """What a result means for an aspect."""
    if result == "unknown":
        return Answer("care", "unknown")
    if aspect == "bystander" and result == "cut":
        # One witness alone can't say: policy may never have allowed it to reach this bystander.
        return Answer("care", "not from here")
    if aspect in CUT_ASPECTS:
        return Answer("good" if result == "cut" else "bad", result)
    return Answer("good" if result == "open" else "bad", _REACHED[result])
