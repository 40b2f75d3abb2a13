"""The global stop, asked right before a containment that no person has approved.

On the fast path nobody asks: the dispatcher has, when it started the incident. Later ones ask here.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.incident import ReadStop, StopState

from workflows.orders import reason_of


async def stop_restraint(incident_id: str) -> str:
    """Why nothing may be contained without people now; empty where nothing speaks against it.

    A stop that can't be read counts as one that is on: somebody may have set it to end exactly this.
    """
    try:
        state: StopState = await workflow.execute_activity(
            "read_stop",
            ReadStop(incident_id=incident_id),
            result_type=StopState,
            start_to_close_timeout=timedelta(seconds=5),
            retry_policy=RetryPolicy(maximum_attempts=3),
        )
    except FailureError as error:
        return f"whether the global stop is on can't be told: {reason_of(error)}"
    return state.restraint
