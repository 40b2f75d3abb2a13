"""Giving orders to a host from a workflow.

Owns order ids, expiry and retry of host activities. Deterministic: ids derive from the workflow, the run and a
count. Signing happens outside, in the payload codec.
"""

from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.orders import Order, OrderHeader, Testimony
    from segmentation.workloads import Workload

# An agent that is away for longer than this gets a new order with a new expiry, if it is still wanted.
ORDER_LIFE = timedelta(minutes=5)
RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=5)
)


class Orders:
    """Counts the orders of one workflow run."""

    def __init__(self, incident_id: str) -> None:
        self._incident_id = incident_id
        self._count = 0

    def header(self, host: Workload, plan_hash: str | None = None, life: timedelta = ORDER_LIFE) -> OrderHeader:
        """The next header: same id on replay, a different one for every order."""
        self._count += 1
        info = workflow.info()
        return OrderHeader(
            order_id=f"{info.workflow_id}.{info.run_id[:8]}.{self._count}",
            host_id=host.workload_id,
            incident_id=self._incident_id,
            plan_hash=plan_hash,
            expires_at=workflow.now() + life,
        )


T = TypeVar("T", bound=Testimony)


async def give(
    host: Workload, verb: str, order: Order, result: type[T], *, seconds: float = 30, heartbeat: float | None = None
) -> T:
    """Have a host carry out an order; `seconds` bounds one attempt, the order's life bounds them all."""
    done: T = await workflow.execute_activity(
        verb,
        order,
        task_queue=host.queue,
        result_type=result,
        start_to_close_timeout=timedelta(seconds=seconds),
        schedule_to_close_timeout=max(ORDER_LIFE, timedelta(seconds=seconds)),
        heartbeat_timeout=timedelta(seconds=heartbeat) if heartbeat else None,
        retry_policy=RETRY,
    )
    return done


def reason_of(error: BaseException) -> str:
    """The innermost message of a failed activity: the one that says what happened on the host."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error.message if isinstance(error, ApplicationError) else str(error) or type(error).__name__
