"""Legal holds: what stands on a case and on each item, as the custody chain tells it.

Owns who holds what, and who may let it go: a hold is set by a responder, and lifted by an approver who is none of
those that set it. The vault enforces it; the chain is its record.

    standing = holds_of(ledger.custody.custody("inc-1"))
    standing.case, standing.items
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from activities.contracts.custody import CustodyEvent
from activities.evidence.errors import HoldRefused

Holders = tuple[str, ...]


@dataclass(frozen=True)
class StandingHolds:
    """By whom the case, and single items of it, are held; `released`: what was, and is not any more."""

    case: Holders
    items: Mapping[str, Holders]
    released: frozenset[str | None] = frozenset()

    def holds(self, evidence_id: str) -> bool:
        """Whether nobody may delete the item."""
        return bool(self.case) or evidence_id in self.items

    def holders(self, evidence_id: str | None) -> Holders:
        """Who set a hold on just that; None: on the case."""
        return self.case if evidence_id is None else self.items.get(evidence_id, ())


def holds_of(events: Iterable[CustodyEvent]) -> StandingHolds:
    """What stands after these events."""
    standing: dict[str | None, Holders] = {}
    released: set[str | None] = set()
    for event in events:
        if event.action == "hold":
            # Each once, in the order in which they came.
            standing[event.evidence_id] = tuple(dict.fromkeys((*standing.get(event.evidence_id, ()), event.actor)))
            released.discard(event.evidence_id)
        elif event.action == "release":
            standing.pop(event.evidence_id, None)
            released.add(event.evidence_id)
    items = {item: holders for item, holders in standing.items() if item is not None}
    return StandingHolds(standing.get(None, ()), items, frozenset(released))


def check_release(standing: StandingHolds, evidence_id: str | None, actor: str) -> None:
    """Refuse to lift what does not stand, or what the same person set, alone or with others.

    Raises:
        HoldRefused: with the reason.
    """
    holders = standing.holders(evidence_id)
    if not holders:
        what = "the case" if evidence_id is None else evidence_id
        hint = "The whole case is held: release that." if standing.case else "Look at its custody chain."
        raise HoldRefused(f"There is no hold on {what}.", hint=hint)
    if actor in holders:
        raise HoldRefused(
            f"{actor} set this hold and can't lift it.", hint="Ask somebody with the role who is none of its holders."
        )
