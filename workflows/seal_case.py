"""SealCaseWorkflow and TimestampSealWorkflow: seals that people ask for, and the times that are vouched for later.

Owns the patience: a time-stamping authority may be away for days, and a seal waits for it without holding anything up.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.custody import SealCase, SealRef, TimestampSeal

from workflows.sealing import seal

# An authority that answers does so in a second: an export is worth that wait, so that its bag holds the timestamp.
WAIT_FOR_TIMESTAMP = timedelta(seconds=5)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=10), timedelta(hours=6)
GIVE_UP_AFTER = timedelta(days=30)


@workflow.defn
class SealCaseWorkflow:
    """Seals a case now; it runs in the worker, as nobody else has the key."""

    @workflow.run
    async def run(self, request: SealCase) -> SealRef:
        """Returns the seal, with its timestamp if that came at once."""
        ref, stamping = await seal(request)
        if stamping is None:
            return ref
        await workflow.wait([stamping], timeout=WAIT_FOR_TIMESTAMP.total_seconds())
        stamped: SealRef = stamping.result() if stamping.done() else ref
        return stamped


@workflow.defn
class TimestampSealWorkflow:
    """Asks a time-stamping authority until it answers, with growing pauses."""

    @workflow.run
    async def run(self, request: TimestampSeal) -> SealRef:
        """Returns the seal with its timestamp; fails when nobody answered in thirty days."""
        pause, until = FIRST_PAUSE, workflow.now() + GIVE_UP_AFTER
        while True:
            try:
                return await self._ask(request)
            except ActivityError as error:
                if _is_final(error) or workflow.now() + pause > until:
                    raise
            # A timer rather than the activity's own retries: whoever looks at the workflow sees since when it waits.
            await workflow.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _ask(self, request: TimestampSeal) -> SealRef:
        stamped: SealRef = await workflow.execute_activity(
            "timestamp_seal",
            request,
            result_type=SealRef,
            start_to_close_timeout=timedelta(minutes=2),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )
        return stamped


def _is_final(error: ActivityError) -> bool:
    return isinstance(error.cause, ApplicationError) and error.cause.non_retryable
