"""Custody events: one line for each thing that happened to an item.

Owns how they are built and what they say of the bytes before and after. Never stores them: the ledger
chains, the vault keeps a copy.

    build = collected(case_id, item, actor="agent:web", at=now)
    ledger.append_custody(case_id, build)
"""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from activities.contracts.custody import CustodyAction, CustodyEvent
from activities.contracts.evidence import CollectedItem

Build = Callable[[int, str], CustodyEvent]
_LEDGER_ALONE = ".ledger-alone-"


def collected(case_id: str, item: CollectedItem, *, actor: str) -> Build:
    """The item came into being, or its absence was found, on the host."""
    state = item.outcome
    return event(
        case_id,
        evidence_id=item.evidence_id,
        action="collect",
        actor=actor,
        at=item.acquisition.ended,
        purpose=f"{state.state}: {state.reason}" if state.reason else state.state,
        hash_after=item.sha256,
        key=f"{item.evidence_id}.collect",
    )


def transferred(case_id: str, item: CollectedItem, *, actor: str, at: datetime, found: str) -> Build:
    """The item came into the vault; `found` is the digest of what is there, computed there."""
    return event(
        case_id,
        evidence_id=item.evidence_id,
        action="transfer",
        actor=actor,
        at=at,
        purpose="from the host to the vault",
        hash_before=item.sha256,
        hash_after=found,
        key=f"{item.evidence_id}.transfer",
    )


def ledger_alone(case_id: str, *, action: CustodyAction, actor: str, purpose: str) -> Build:
    """That a case was found to be altered: told to the ledger, while the vault stays as it was found."""
    key = f"case.{action}{_LEDGER_ALONE}{uuid.uuid4().hex}"
    return event(case_id, evidence_id=None, action=action, actor=actor, at=datetime.now(UTC), purpose=purpose, key=key)


def for_ledger_alone(told: CustodyEvent) -> bool:
    """Whether the vault may lack this event."""
    return told.evidence_id is None and _LEDGER_ALONE in told.event_id


def event(  # noqa: PLR0913  the fields of one event
    case_id: str,
    *,
    evidence_id: str | None,
    action: CustodyAction,
    actor: str,
    at: datetime,
    purpose: str,
    hash_before: str | None = None,
    hash_after: str | None = None,
    key: str = "",
) -> Build:
    """Any event. With `key` it happens once however often it is told; without, each telling is an event."""

    def build(seq: int, prev_event_hash: str) -> CustodyEvent:
        return CustodyEvent(
            event_id=key or f"{evidence_id or 'case'}.{action}.{seq}",
            case_id=case_id,
            evidence_id=evidence_id,
            action=action,
            actor=actor,
            at=at,
            purpose=purpose,
            hash_before=hash_before,
            hash_after=hash_after,
            prev_event_hash=prev_event_hash,
        )

    return build
