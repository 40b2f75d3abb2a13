"""Setting and lifting legal holds, in the vault and in the custody chain.

Owns the order between the two: a hold is in the vault before the chain tells of it, a release is in the chain before
the vault lets go. Who may do which is for `holds` and the door of the API.

    Holds(registry, ledger.custody, vault).set("inc-1", None, actor="user:ada", purpose="court order 7")
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from activities.evidence import custody
from activities.evidence.errors import HoldRefused
from activities.evidence.holds import StandingHolds, check_release, holds_of
from activities.evidence.mirroring import CaseChains
from activities.evidence.register import EvidenceRegistry
from activities.evidence.side_by_side import side_by_side
from activities.evidence.vault.interface import Vault


class Holds:
    """Sets and lifts holds, in the vault and in the custody chain."""

    def __init__(self, registry: EvidenceRegistry, chains: CaseChains, vault: Vault) -> None:
        self._registry, self._chains, self._vault = registry, chains, vault

    def standing(self, case_id: str) -> StandingHolds:
        """What stands now."""
        return holds_of(self._chains.custody(case_id))

    def set(self, case_id: str, evidence_id: str | None, *, actor: str, purpose: str) -> StandingHolds:
        """Hold an item, or the case with all that is still to come into it.

        Raises:
            HoldRefused: there is no such item, or nothing of it is kept.
            VaultDenied: the vault can't; what it could hold stays held.
        """
        self._hold(case_id, self._items(case_id, evidence_id), on=True)
        # Without its chains and seals no item proves anything.
        self._vault.hold_case(case_id, on=True)
        # After the vault: the chain never tells of a hold that did not come about.
        standing = self._note(case_id, evidence_id, "hold", actor, purpose)
        self._hold_what_stands(case_id)  # chained, or let go, by who could not know of this hold yet
        self._vault.hold_case(case_id, on=True)  # with what tells of this hold
        return standing

    def lift(self, case_id: str, evidence_id: str | None, *, actor: str, purpose: str) -> StandingHolds:
        """Let go of what `set` holds; what another hold covers stays held.

        Where the chain tells of it already the vault is told again: somebody may have died in between.

        Raises:
            HoldRefused: nothing stands, or the same person set it.
        """
        left = self.standing(case_id)
        if evidence_id not in left.released:
            check_release(left, evidence_id, actor)
            # Before the vault: nothing is let go of that the chain does not tell of.
            left = self._note(case_id, evidence_id, "release", actor, purpose)
        loose = [item for item in self._items(case_id, evidence_id) if not left.holds(item)]
        self._hold(case_id, loose, on=False)
        if not left.case and not left.items:
            self._vault.hold_case(case_id, on=False)
        # Somebody may have set a hold while this one was let go: it is held again before anybody is told.
        left = self._hold_what_stands(case_id)
        if left.case or left.items:
            self._vault.hold_case(case_id, on=True)
        return left

    def _hold_what_stands(self, case_id: str) -> StandingHolds:
        standing = self.standing(case_id)
        self._hold(case_id, filter(standing.holds, self._items(case_id, None)), on=True)
        return standing

    def _hold(self, case_id: str, items: Iterable[str], *, on: bool) -> None:
        """Each by itself; asked for even where it stood a moment ago, as somebody may be letting go of it."""
        side_by_side(lambda item: self._vault.hold(case_id, item, on=on), items)

    def _items(self, case_id: str, evidence_id: str | None) -> list[str]:
        """Which artefacts are meant."""
        kept = [m.item.evidence_id for m in self._chains.manifests(case_id) if m.item.storage is not None]
        if evidence_id is None:
            return kept
        if evidence_id not in kept:
            raise HoldRefused(
                f"Case {case_id} keeps no item {evidence_id}.", hint="List them: firebreak evidence list CASE."
            )
        return [evidence_id]

    def _note(
        self, case_id: str, evidence_id: str | None, action: Literal["hold", "release"], actor: str, purpose: str
    ) -> StandingHolds:
        build = custody.event(
            case_id, evidence_id=evidence_id, action=action, actor=actor, at=datetime.now(UTC), purpose=purpose
        )
        self._registry.tell(case_id, build)
        return self.standing(case_id)
