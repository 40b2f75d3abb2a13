"""What keeps an incident's targets from being contained without people, found before its workflow starts.

Owns bringing the site's safeguards, the reservations of the last hour and the global stop together into reasons, so
that no activity stands between the alert and the first order. The rules are in `playbooks.safeguards`, the counting
in the ledger.

    restrain(batch, playbook, targets, inventory)   # -> {"web": "the global stop is on since ..."}
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from activities.ledger.intake import PendingBatch
from activities.ledger.ledger import Ledger
from activities.ledger.reservations import Taken
from playbooks.playbook import Playbook
from playbooks.safeguards import Counts, Safeguards, over_limit
from playbooks.triage import choose_route
from segmentation.workloads import Inventory, Workload

log = structlog.get_logger(__name__)


class Restrainer:
    """Says of each target why people decide on it, and reserves those that may be contained without them."""

    def __init__(self, ledger: Ledger, safeguards: Safeguards) -> None:
        self._ledger = ledger
        self.safeguards = safeguards

    def __call__(
        self, batch: PendingBatch, playbook: Playbook | None, targets: Sequence[Workload], inventory: Inventory
    ) -> dict[str, str]:
        """Reasons by target id; whoever is not among them is held by no limit and no stop."""
        if playbook is None or not targets:
            return {}
        if reason := self._ledger.stop.read().restraint:
            log.warning("nothing is contained automatically", incident_id=batch.incident_id, reason=reason)
            return {target.workload_id: reason for target in targets}
        claimed = {t.workload_id: t for t in targets if self._may_be_automatic(batch, playbook, t, len(targets))}
        if not claimed:
            return {}
        return self._reserve(batch, claimed, inventory)

    def _may_be_automatic(self, batch: PendingBatch, playbook: Playbook, target: Workload, targets: int) -> bool:
        signed = batch.first.signed
        route = choose_route(
            playbook, target, targets=targets, signed=signed, corroborated=None, safeguards=self.safeguards
        )
        return route.may_be_automatic

    def _reserve(self, batch: PendingBatch, claimed: dict[str, Workload], inventory: Inventory) -> dict[str, str]:
        # A platform's target is in no inventory: it is a member of its group all the same.
        known = {w.workload_id: self.safeguards.group_of(w) for w in (*inventory.workloads, *claimed.values())}

        def judge(target_id: str, taken: Taken) -> str:
            group = known[target_id]
            members = sum(other == group for other in known.values()) if group else 0
            of_group = taken.of_group + 1 if group else 0
            counts = Counts(targets=taken.targets + 1, of_group=of_group, group_size=members)
            return over_limit(self.safeguards, claimed[target_id], counts)

        # Whoever was handed over before runs already, by the verdict of then.
        groups = {target_id: known[target_id] for target_id in claimed}
        refused = self._ledger.reservations.reserve(batch.incident_id, groups, judge, datetime.now(UTC), hold=batch.new)
        for reason in refused.values():
            log.warning("people decide: a limit is reached", incident_id=batch.incident_id, reason=reason)
        return refused
