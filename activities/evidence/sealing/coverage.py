"""What of a case no seal vouches for, and whether that is a failure for who asks.

Owns the difference between a case at work, to which something is always added, and what was handed over, in which
nothing may stand that nobody signed: seals that were taken away leave hashes that agree.

    failures, warnings = check_coverage(contents, seals, trust, Demands(seal=True, whole=True))
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from activities.contracts.custody import CaseVerdict, SealRef, TimestampState
from activities.evidence.contents import CaseContents
from activities.evidence.sealing.checking import CheckedSeals
from activities.evidence.sealing.names import timestamp_event_id
from activities.evidence.sealing.trust import Trust


@dataclass(frozen=True)
class Demands:
    """What has to be there; what need not be is warned of."""

    seal: bool = False
    whole: bool = False
    stamps: bool = False


def check_coverage(
    contents: CaseContents, seals: CheckedSeals, trust: Trust, demands: Demands
) -> tuple[list[str], list[str]]:
    """Failures and warnings, in the order in which a reader should look."""
    failures: list[str] = []
    warnings: list[str] = []
    items, events = list(_loose_items(contents, seals)), list(_loose_events(contents, seals))
    if demands.seal and not seals.refs:
        failures.append("seals: expected a seal, found none: nobody signed for any of it")
    if items or events:
        first = [*items, *events][0]
        told = f"{len(items)} items and {len(events)} custody events are in no seal, from {first} on"
        (failures if demands.whole else warnings).append(told)
    loose_documents = [f"documents/{name} is in no seal" for name in contents.documents if name not in seals.documents]
    if demands.whole:
        failures += loose_documents
    else:
        warnings += [f"{document} yet." for document in loose_documents]
    if trust.roots and not demands.stamps:
        warnings += _pending(seals.refs, demands)
    return failures, warnings


def state_of_stamps(seals: Sequence[SealRef]) -> TimestampState:
    """What is to be said of them all: the worst of it."""
    found = {seal.timestamp for seal in seals}
    order: tuple[TimestampState, ...] = ("wrong", "pending", "held")
    return next((state for state in order if state in found), "none")


def with_stamps(verdict: CaseVerdict, demands: Demands) -> CaseVerdict:
    """The verdict for who demands timestamps.

    Looked at when all else holds, so that "pending" is never said of a case in which anything is wrong.
    """
    if not (demands.stamps and verdict.ok and verdict.timestamp == "pending"):
        return verdict
    first = _pending(verdict.seals, demands)[0]
    return verdict.model_copy(update={"ok": False, "reason": "timestamp-pending", "first_failure": first})


def _pending(seals: Sequence[SealRef], demands: Demands) -> list[str]:
    """Which have none yet. Who took it away together with what told of it leaves the same: it is never said to hold."""
    when = "exported" if demands.whole else "read"
    told = f"timestamp: pending: its authority was asked, there was no timestamp yet when this was {when}"
    return [f"seals/{seal.number:06d}: {told}" for seal in seals if seal.timestamp == "pending"]


def _loose_items(contents: CaseContents, seals: CheckedSeals) -> Iterator[str]:
    covered = seals.last.predicate.manifests.length if seals.last else 0
    for number in range(covered + 1, len(contents.manifests.links) + 1):
        yield contents.manifests.path(number)


def _loose_events(contents: CaseContents, seals: CheckedSeals) -> Iterator[str]:
    """But for the timestamps of these seals: they can't be in the last one, and their tokens were checked."""
    covered = seals.last.predicate.custody.length if seals.last else 0
    held = {timestamp_event_id(ref.number) for ref in seals.refs if ref.timestamp == "held"}
    for number in range(covered + 1, len(contents.custody.links) + 1):
        if contents.custody.links[number - 1].event_id not in held:
            yield contents.custody.path(number)
