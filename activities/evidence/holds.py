"""Legal holds: what stands on a case and on each item, as the custody chain tells it.

Owns who holds what, and who may let it go: a hold is set by a responder, and lifted by an approver who is somebody
else. The vault enforces it; the chain is its record.

    standing = holds_of(ledger.custody.custody("inc-1"))
    standing.case, standing.items
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from activities.contracts.evidence import CustodyEvent
from activities.evidence.errors import HoldRefused


@dataclass(frozen=True)
class StandingHolds:
    """By whom the case, and single items of it, are held."""

    case: str | None
    items: Mapping[str, str]

    def holds(self, evidence_id: str) -> bool:
        """Whether nobody may delete the item."""
        return self.case is not None or evidence_id in self.items


def holds_of(events: Iterable[CustodyEvent]) -> StandingHolds:
    """What stands after these events."""
    standing: dict[str | None, str] = {}
    for event in events:
        if event.action == "hold":
            standing[event.evidence_id] = event.actor
        elif event.action == "release":
            standing.pop(event.evidence_id, None)
    return StandingHolds(standing.get(None), {item: actor for item, actor in standing.items() if item is not None})


def check_release(standing: StandingHolds, evidence_id: str | None, actor: str) -> None:
    """Refuse to lift what does not stand, or what the same person set.

    Raises:
        HoldRefused: with the reason.
    """
    holder = standing.case if evidence_id is None else standing.items.get(evidence_id)
    if holder is None:
        what = "the case" if evidence_id is None else evidence_id
        hint = "The whole case is held: release that." if standing.case else "Look at its custody chain."
        raise HoldRefused(f"There is no hold on {what}.", hint=hint)
    if holder == actor:
        raise HoldRefused(f"{actor} set this hold and can't lift it.", hint="Ask a second person with the role.")
