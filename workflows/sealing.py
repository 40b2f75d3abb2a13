"""Sealing from inside a workflow, and the timestamp that follows by itself.

Owns how a seal is asked for, and that nobody waits for an authority that is away: its timestamp has a workflow of its
own.

    ref = await seal(SealCase(incident_id="inc-1", actor="workflow", purpose="post-mortem"))
"""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.custody import SealCase, SealRef, TimestampSeal

# A signing service that is away for longer is told to whoever asked.
SEAL_FOR = timedelta(minutes=15)


async def seal(request: SealCase) -> tuple[SealRef, Any]:
    """The seal that covers the case, and the workflow that gets its timestamp, if one is to come.

    Raises:
        ActivityError: the signing key can't be used, or is away for too long.
    """
    ref: SealRef = await workflow.execute_activity(
        "seal_case",
        request,
        result_type=SealRef,
        start_to_close_timeout=timedelta(minutes=5),
        schedule_to_close_timeout=SEAL_FOR,
        # It beats while it works: a worker that died in the middle is not waited for.
        heartbeat_timeout=timedelta(seconds=60),
        retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
    )
    stamping = await _begin_stamping(request.incident_id, ref.number) if ref.timestamp == "pending" else None
    return ref, stamping


async def _begin_stamping(incident_id: str, number: int) -> Any:
    try:
        return await workflow.start_child_workflow(
            "TimestampSealWorkflow",
            TimestampSeal(incident_id=incident_id, number=number),
            id=f"incident-{incident_id}.timestamp.{number}",
            result_type=SealRef,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )
    except WorkflowAlreadyStartedError:
        return None  # the same seal's, begun by somebody else
