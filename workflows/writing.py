"""Bringing an incident's writes to the ledger: one at a time, each until it has landed.

Owns the numbers of the writes, and the one that is under way. Whether that one landed may stay unknown for long: it is
repeated as it was, by the next run too, and the ledger takes each number once.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.incident import IncidentEvent, IncidentSnapshot, IncidentSoFar, RecordIncident

RETRY_INTERVAL = timedelta(seconds=10)


class LedgerWriter:
    """The writes of one incident."""

    def __init__(self, so_far: IncidentSoFar | None) -> None:
        self.written = so_far.written if so_far else 0
        self.under_way = _under_way(so_far) if so_far else None
        self.refused = False  # the one under way was, and is tried again
        self.handed_over = False

    def begin(self, snapshot: IncidentSnapshot, events: tuple[IncidentEvent, ...]) -> None:
        """Have the next write under way."""
        self.written += 1
        self.under_way = RecordIncident(sequence=self.written, snapshot=snapshot, events=events)

    async def bring(self) -> None:
        """Return when nothing is under way any more; the ledger may be away for long, nothing is ever given up."""
        while self.under_way is not None:
            self.refused = not await self._brought(self.under_way)
            if not self.refused:
                self.under_way = None
            elif self.handed_over:
                return
            else:
                await workflow.sleep(RETRY_INTERVAL)

    async def _brought(self, record: RecordIncident) -> bool:
        try:
            await workflow.execute_activity(
                "record_incident",
                record,
                start_to_close_timeout=timedelta(seconds=20),
                retry_policy=RetryPolicy(maximum_interval=RETRY_INTERVAL),
            )
        except ActivityError:
            # A ledger that refuses may be repaired.
            workflow.logger.exception("the ledger refuses write %d", record.sequence)
            return False
        return True


def _under_way(so_far: IncidentSoFar) -> RecordIncident | None:
    if so_far.lines_under_way is None:
        return so_far.under_way
    return RecordIncident(sequence=so_far.written, snapshot=so_far.snapshot, events=so_far.lines_under_way)
