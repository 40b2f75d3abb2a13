"""What of a case no seal vouches for, and whether that is a failure for who asks.

Owns the difference between a case at work, to which something is always added, and what was handed over, in which
nothing may stand that nobody signed: seals that were taken away leave hashes that agree.

    failures, warnings = check_coverage(contents, seals, Demands(seal=True, whole=True))
"""

from collections.abc import Iterator
from dataclasses import dataclass

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
    pending = [f"seals/{ref.number:06d}: {_PENDING}" for ref in seals.refs if ref.timestamp == "pending"]
    if demands.stamps:
        failures += pending
    elif trust.roots:
        warnings += pending
    return failures, warnings


_PENDING = "its authority was asked for a timestamp, found none"


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
