"""From a batch of committed alerts to the input of an incident's workflow. Pure but for what it asks the ledger.

Owns resolution before the start, so that no activity stands between the alert and the first order.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import playbooks
from activities.contracts.incident import AlertBatch, IncidentStart
from activities.ledger.correlation import accused
from activities.ledger.intake import PendingBatch
from api.processes.restraints import Restrainer
from playbooks.host_isolation import LifelineEndpoint
from playbooks.loading import choose
from playbooks.playbook import Playbook
from segmentation.workloads import Inventory

CATALOG = Path(playbooks.__file__ or "").parent / "catalog"


class Describer:
    """Resolves targets, picks the playbook, and lays everything that the first order needs into one document."""

    def __init__(
        self,
        hosts: Callable[[], Inventory],
        catalog: Sequence[Playbook],
        lifeline: tuple[LifelineEndpoint, ...],
        restrain: Restrainer,
        *,
        log_group: int | None,
        siem_configured: bool,
    ) -> None:
        self._hosts = hosts
        self._catalog = catalog
        self._lifeline = lifeline
        self._restrain = restrain
        self._log_group = log_group
        self._siem_configured = siem_configured

    def __call__(self, batch: PendingBatch) -> IncidentStart:
        """The input of the batch's incident."""
        inventory = self._hosts()
        alert = batch.first.alert
        targets = accused(alert, inventory)
        playbook = choose(self._catalog, alert)
        return IncidentStart(
            incident_id=batch.incident_id,
            correlation_key=batch.correlation_key,
            alerts=AlertBatch(ids=batch.outbox_ids, first=batch.first, last_received_at=batch.last_received_at),
            playbook=playbook,
            targets=targets,
            witnesses=inventory.witnesses_of(targets) if targets else (),
            lifeline=self._lifeline,
            log_group=self._log_group,
            siem_configured=self._siem_configured,
            safeguards=self._restrain.safeguards,
            restraints=self._restrain(batch, playbook, targets, inventory),
        )
