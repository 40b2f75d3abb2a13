"""Waiting for what may take weeks: where the history grows long meanwhile, the next run of the incident waits on.

Owns when an incident continues as new. What the next run goes on from is made by `workflows.record`.

    await waits.until(lambda: not leases.held)
"""

from collections.abc import Callable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pydantic_core import to_json

    from activities.contracts.incident import IncidentSoFar, IncidentStart

from workflows.record import IncidentRecord

# Signals after which it continues as new while it waits; the server may suggest it earlier.
NEWS_PER_RUN = 2000
# For how many more the answer to a write is waited for: one that has none by then, or that the ledger refuses again and
# again, the next run repeats.
NEWS_WHILE_WRITING = 200
# The engine ends whoever hands over more than two mebibytes. Who would waits, and tries again after so many signals.
# A replay decides by these numbers too: another one takes a patch marker.
MAX_BYTES = 1792 * 1024
NEWS_UNTIL_NEXT_TRY = 100


class LongWaits:
    """The long waits of one run.

    `only_waits`: nothing is under way that a next run could not go on with. `so_far`: what that goes on from, or (True)
    the same in short.
    """

    def __init__(
        self,
        start: IncidentStart,
        record: IncidentRecord,
        *,
        only_waits: Callable[[], bool],
        so_far: Callable[[bool], IncidentSoFar],
    ) -> None:
        self._start = start
        self._record = record
        self._only_waits = only_waits
        self._so_far = so_far
        self._news = self._no_try_before = 0

    def heard(self) -> None:
        """Count a signal: each makes the history longer."""
        self._news += 1

    async def until(self, met: Callable[[], bool]) -> None:
        """Wait, in this run or in the next ones."""
        while not met():
            await workflow.wait_condition(lambda: met() or self._long)
            if not met():
                await self._continue_unless(met)

    async def _continue_unless(self, met: Callable[[], bool]) -> None:
        # A run that began when no write could be handed over replays as it was: it hears out its own, however long.
        hands_over = workflow.patched("next-run-repeats-the-write-under-way")
        patience_ends = self._news + NEWS_WHILE_WRITING

        def ready() -> bool:
            enough = self._record.refused or self._news >= patience_ends
            written = not self._record.writing or (hands_over and enough)
            return written and self._long and self._only_waits() and workflow.all_handlers_finished()

        if not ready():
            await workflow.wait_condition(lambda: met() or ready())
        # Looked at again, and nothing awaited after that: whatever came in between belongs to this run.
        if not met() and ready():
            self._continue()

    @property
    def _long(self) -> bool:
        long = self._news >= NEWS_PER_RUN or workflow.info().is_continue_as_new_suggested()
        return long and self._news >= self._no_try_before

    def _continue(self) -> None:
        for in_short in (False, True):
            start = self._start.model_copy(update={"so_far": self._so_far(in_short)})
            if len(to_json(start)) <= MAX_BYTES:
                self._record.hand_over()
                workflow.continue_as_new(start)
        self._no_try_before = self._news + NEWS_UNTIL_NEXT_TRY
