"""The control activities with a real ledger behind them, whose answers can get lost."""

import asyncio
from collections import defaultdict

from temporalio import activity

from activities.contracts.incident import RecordIncident
from activities.ledger.ledger import Ledger
from tests.workflows.control import FakeControl


class LedgerControl(FakeControl):
    """Writes to a real ledger; what is brought lands, also while `answers` is off and nobody hears of it."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger
        self.answers = True
        self.brought: dict[int, list[RecordIncident]] = defaultdict(list)
        self.unheard: set[str] = set()  # runs that brought what they did not hear of

    @activity.defn
    async def record_incident(self, record: RecordIncident) -> None:
        self.brought[record.sequence].append(record)
        await asyncio.to_thread(self.ledger.incidents.record, record)
        if not self.answers:
            self.unheard.add(activity.info().workflow_run_id or "")
            raise RuntimeError("the answer was lost")
        await super().record_incident(record)
