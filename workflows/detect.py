"""DetectWorkflow: our own detections against the SIEM, started by a Temporal Schedule.

Owns nothing but the call: what was found comes back through the intake like every other alert.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.contracts.siem import DetectionsRun, RunDetections


@workflow.defn
class DetectWorkflow:
    """One run of every detection."""

    @workflow.run
    async def run(self) -> DetectionsRun:
        """Returns what was found and told."""
        done: DetectionsRun = await workflow.execute_activity(
            "run_detections",
            RunDetections(at=workflow.now()),
            result_type=DetectionsRun,
            start_to_close_timeout=timedelta(seconds=30),
            # The next run looks at the same stretch again: a run that fails is not worth holding on to.
            retry_policy=RetryPolicy(maximum_attempts=2),
        )
        return done
