"""The time of one seal: the authority's answer that the case keeps, or one that was brought because it came later.

Owns what either has to be held against. An answer of the case is told of by its custody chain, which covers the bits
that no signature does; one that was brought has its own signature alone, so it counts only with a root certificate.

    stamp = kept_stamp(seal, (name, answer), told, roots) or brought_stamp(seal, brought, roots)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography import x509

from activities.contracts.custody import CustodyEvent
from activities.evidence.errors import SealBroken
from activities.evidence.sealing.names import timestamp_name
from activities.evidence.sealing.statement import SealPredicate
from activities.evidence.sealing.timestamps import check_timestamp, is_about

# A clock of ours that is behind the authority's by more than this is worth a look.
CLOCK_TOLERANCE = timedelta(minutes=5)
Roots = tuple[x509.Certificate, ...]


@dataclass(frozen=True)
class SignedSeal:
    """One seal: what it says, and the envelope that an authority is asked about."""

    said: SealPredicate
    envelope: bytes


@dataclass(frozen=True)
class Stamp:
    """When the authority saw a seal, and what a reader should know of that."""

    at: datetime
    warnings: tuple[str, ...] = ()


def kept_stamp(
    seal: SignedSeal, kept: tuple[str, bytes] | None, told: CustodyEvent | None, roots: Roots
) -> Stamp | None:
    """That of the answer in the case, by its name; None: none has come yet.

    Raises:
        SealBroken: it does not hold, or is gone. Its text is a clause.
    """
    if kept is None:
        if told is not None:
            raise SealBroken("expected the timestamp that the custody chain tells of, found none")
        return None
    name, answer = kept
    expected = timestamp_name(seal.said.number, seal.said.custody.head)
    if name != expected:
        raise SealBroken(f"expected the name {expected}")
    # What no signature covers in it (unsigned attributes, certificates that nobody needs), this does.
    digest = sha256(answer).hexdigest()
    if told is None or told.hash_after != digest:
        known = f"says sha256 {told.hash_after}" if told else "does not know it"
        raise SealBroken(f"is a timestamp with sha256 {digest}, the custody chain {known}")
    return _stamp(seal, f"seals/{name}", answer, roots)


def brought_stamp(seal: SignedSeal, brought: Mapping[str, bytes], roots: Roots) -> Stamp | None:
    """That of an answer about this seal among those that were brought; None: it is about none of them.

    Raises:
        SealBroken: no root certificate is there to hold it against, or it does not hold by them.
    """
    label = next((label for label, answer in brought.items() if is_about(answer, seal.envelope)), None)
    if label is None:
        return None
    if not roots:
        raise SealBroken(f"{label} proves nothing without the authority's root certificate: bring that too")
    try:
        stamp = _stamp(seal, label, brought[label], roots)
    except SealBroken as error:
        raise SealBroken(f"{label} {error.summary}") from error
    told = f"The timestamp of seal {seal.said.number} was brought beside the case: {label}."
    return Stamp(stamp.at, (told, *stamp.warnings))


def _stamp(seal: SignedSeal, label: str, answer: bytes, roots: Roots) -> Stamp:
    at = check_timestamp(answer, seal.envelope, roots)
    if at >= seal.said.sealed_at - CLOCK_TOLERANCE:
        return Stamp(at)
    # Whoever knows the answer vouches for it and its signature holds: a clock of ours was wrong, which is no forgery.
    told = (
        f"{label} is of {at:%Y-%m-%d %H:%M:%S} UTC, before the seal of "
        f"{seal.said.sealed_at:%Y-%m-%d %H:%M:%S} UTC: the clock of who sealed was ahead."
    )
    return Stamp(at, (told,))
