"""Proof: what was measured after a change, and what it adds up to. Pure.

Owns the vocabulary of measurements and the verdict drawn from them. A contained host does not testify for
itself: only measurements of others decide `effective`; its own are kept and marked as such.

    conclude(cuts, lifeline)   # -> Proof(verdict="effective", ...)
"""

from typing import Literal

from pydantic import Field

from segmentation.bounds import Line, Moment, Word
from segmentation.workloads import Frozen, Name

Aspect = Literal["new", "established", "ipv6", "lifeline", "bystander"]
Result = Literal["cut", "open", "unknown"]
Verdict = Literal["effective", "partial", "unproven"]
# One witness's; it sums up what more there is.
MAX_MEASUREMENTS = 256
Configuration = Literal["stands", "differs", "unknown"]


def _is_none(value: object) -> bool:
    return value is None


class Measurement(Frozen):
    """One probe: who measured what about whom, how, and what came out."""

    aspect: Aspect
    result: Result = Field(description="`open` is the good answer for lifeline and bystander.")
    method: Word = Field(description="For example `tcp-connect 10.0.0.2:8000`, `silence 400 ms`.")
    witness: Name = Field(description="Host that measured.")
    subject: Name = Field(description="Host that was measured.")
    measured_at: Moment
    detail: Line = ""
    applicable: bool = Field(default=True, description="False: the subject has nothing of this kind to measure.")

    @property
    def independent(self) -> bool:
        """Whether somebody else than the subject says so."""
        return self.witness != self.subject


class Proof(Frozen):
    """All measurements of one containment and the verdict."""

    verdict: Verdict
    new: Result = "unknown"
    established: Result = "unknown"
    ipv6: Result = "unknown"
    lifeline: Result = "unknown"
    bystanders: Result = "unknown"
    measurements: tuple[Measurement, ...] = ()
    reasons: tuple[str, ...] = Field(default=(), description="Why it is not more than it is.")
    configuration: Configuration | None = Field(
        default=None, exclude_if=_is_none, description="Of a platform: whether what was set reads back as set."
    )


def conclude(measurements: tuple[Measurement, ...]) -> Proof:
    """The verdict: effective only if others saw new and established traffic cut and the lifeline answered."""
    independent = tuple(m for m in measurements if m.independent)
    seen = {aspect: _worst(independent, aspect) for aspect in ("new", "established", "ipv6")}
    lifeline = _worst(measurements, "lifeline", good="open")
    bystanders = _bystanders(independent)
    idle = {aspect for aspect in seen if _is_not_applicable(independent, aspect)}
    reasons = [f"{aspect} traffic is {result}" for aspect, result in seen.items() if result != "cut"]
    reasons += [f"the lifeline is {lifeline}"] if lifeline != "open" else []
    cut = [result == "cut" for aspect, result in seen.items() if aspect not in idle]
    verdict: Verdict = "effective" if cut and all(cut) and lifeline == "open" else "partial" if any(cut) else "unproven"
    return Proof(
        verdict=verdict,
        new=seen["new"],
        established=seen["established"],
        ipv6=seen["ipv6"],
        lifeline=lifeline,
        bystanders=bystanders,
        measurements=measurements,
        reasons=tuple(reasons),
    )


def conclude_configured(configuration: Configuration, differing: tuple[str, ...]) -> Proof:
    """The verdict where nobody could measure: what reads back as set may still let traffic pass."""
    said = {
        "stands": ("every setting reads back as set", "nobody measured its effect from outside"),
        "differs": differing,
        "unknown": ("its settings could not be read back", *differing),
    }
    return Proof(verdict="unproven", configuration=configuration, reasons=said[configuration])


def _bystanders(measurements: tuple[Measurement, ...]) -> Result:
    """Open if somebody reaches each of their services. One that nobody reaches may never have been allowed to be."""
    probed = [m for m in measurements if m.aspect == "bystander"]
    reached = {m.method for m in probed if m.result == "open"}
    return "open" if probed and {m.method for m in probed} <= reached else "unknown"


def _is_not_applicable(measurements: tuple[Measurement, ...], aspect: str) -> bool:
    """Whether all who looked found nothing to measure: a host without IPv6 can still be cut off."""
    alike = [m for m in measurements if m.aspect == aspect]
    return bool(alike) and not any(m.applicable or m.result != "unknown" for m in alike)


def _worst(measurements: tuple[Measurement, ...], aspect: str, good: Result = "cut") -> Result:
    """One bad answer outweighs every good one; no answer at all is `unknown`."""
    results = {m.result for m in measurements if m.aspect == aspect}
    bad: Result = "open" if good == "cut" else "cut"
    if bad in results:
        return bad
    return good if good in results else "unknown"
