"""Giving orders to a host from a workflow.

Owns order ids, expiry and retry of host activities. Deterministic: ids derive from the workflow, the run and a
count. Signing happens outside, in the payload codec.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutType
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

with workflow.unsafe.imports_passed_through():
    from pydantic import ValidationError
    from pydantic_core import to_json

    from activities.contracts.collecting import Collected, CollectVolatileOrder
    from activities.contracts.orders import Order, OrderHeader, Testimony
    from segmentation.bounds import cut
    from segmentation.workloads import Workload

# An agent that is away for longer than this gets a new order with a new expiry, if it is still wanted.
ORDER_LIFE = timedelta(minutes=5)
# Bringing evidence to the vault goes on for so long where the vault, or the agent, is away in between; its size decides
# how long it takes, so what tells a dead agent from a busy one is its heartbeat.
COLLECTING_LIFE = timedelta(minutes=30)
BEAT = timedelta(seconds=30)
RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=5)
)
# A host may say why it can't at any length, and in what place of its answer: both end up in the incident.
REASON, WHERE = 500, 100

# Temporal's bound on the wait for a worker holds for every try: one that was begun is repeated without it.
ONCE = RetryPolicy(maximum_attempts=1)


class Orders:
    """Counts the orders of one workflow run."""

    def __init__(self, incident_id: str) -> None:
        self._incident_id = incident_id
        self._count = 0

    def header(self, host: Workload, plan_hash: str | None = None, life: timedelta = ORDER_LIFE) -> OrderHeader:
        """The next header: same id on replay, a different one for every order."""
        return self._next(host.workload_id, plan_hash, life)

    def again(self, header: OrderHeader, life: timedelta) -> OrderHeader:
        """The next header of the same order: an agent takes what carries one id from one activity alone."""
        return self._next(header.host_id, header.plan_hash, life)

    def _next(self, host_id: str, plan_hash: str | None, life: timedelta) -> OrderHeader:
        self._count += 1
        info = workflow.info()
        return OrderHeader(
            # Run ids begin with their time (UUIDv7): only the end tells two runs of one minute apart.
            order_id=f"{info.workflow_id}.{info.run_id[-12:]}.{self._count}",
            host_id=host_id,
            incident_id=self._incident_id,
            plan_hash=plan_hash,
            expires_at=workflow.now() + life,
        )


T = TypeVar("T", bound=Testimony)


async def give(
    host: Workload, verb: str, order: Order, result: type[T], *, seconds: float = 30, patience: timedelta = ORDER_LIFE
) -> T:
    """Have a host carry out an order; `seconds` bounds one attempt, `patience` all of them with the waiting between.

    Raises:
        FailureError: it could not or would not, or its answer is no `result`.
    """
    answer: object = await workflow.execute_activity(
        verb,
        order,
        task_queue=host.queue,
        start_to_close_timeout=timedelta(seconds=seconds),
        schedule_to_close_timeout=max(patience, timedelta(seconds=seconds)),
        retry_policy=RETRY,
    )
    return read(answer, host, verb, result)


async def collect_from(host: Workload, verb: str, order: Order, seconds: float, orders: Orders) -> Collected:
    """Have a host collect and hand over, which takes `seconds` and then as long as the bytes need.

    Raises:
        FailureError: nobody took the order, its time is over, or its answer is none.
    """

    def repeated(left: timedelta) -> Order:
        update: dict[str, object] = {"header": orders.again(order.header, left)}
        if isinstance(order, CollectVolatileOrder):
            update["continues"] = order.header.order_id
        return order.model_copy(update=update)

    life = timedelta(seconds=seconds) + COLLECTING_LIFE
    answer = await persist(verb, order, queue=host.queue, life=life, repeated=repeated)
    return read(answer, host, verb, Collected)


async def persist(
    verb: str,
    order: Any,
    *,
    queue: str,
    life: timedelta,
    repeated: Callable[[timedelta], Any],
) -> Any:
    """Have something done for as long as `life`, whatever becomes of who began it; `repeated` is the order once more.

    Raises:
        FailureError: nobody began it within ORDER_LIFE, it refused, or its time is over.
    """
    until = workflow.now() + life
    try:
        return await workflow.execute_activity(
            verb,
            order,
            task_queue=queue,
            schedule_to_start_timeout=ORDER_LIFE,
            start_to_close_timeout=life,
            schedule_to_close_timeout=life,
            heartbeat_timeout=BEAT,
            retry_policy=ONCE,
        )
    except ActivityError as error:
        left = until - workflow.now()
        if not _was_begun(error) or left <= timedelta():
            raise
    return await workflow.execute_activity(
        verb,
        repeated(left),
        task_queue=queue,
        start_to_close_timeout=left,
        schedule_to_close_timeout=left,
        heartbeat_timeout=BEAT,
        retry_policy=RETRY,
    )


def _was_begun(error: ActivityError) -> bool:
    """Whether somebody was at it and could not finish: who comes back may."""
    cause = error.cause
    if isinstance(cause, TemporalTimeoutError):
        return cause.type in {TimeoutType.HEARTBEAT, TimeoutType.START_TO_CLOSE}
    return isinstance(cause, ApplicationError) and not cause.non_retryable


def read(answer: object, host: Workload, verb: str, result: type[T]) -> T:
    """Read here and not by the converter: an answer of a taken host must fail its order, not the workflow's task."""
    size = len(to_json(answer))
    if size > result.max_bytes:
        raise _unreadable(host, verb, f"with {size} bytes, an honest {result.__name__} has {result.max_bytes} at most")
    try:
        return result.model_validate(answer)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "its root"
        why = f"with something that is no {result.__name__}: {cut(where, WHERE)}: {cut(first['msg'])}"
    raise _unreadable(host, verb, why)


def _unreadable(host: Workload, verb: str, why: str) -> ApplicationError:
    return ApplicationError(
        f"{host.name} answered {verb} {why}.",
        "Look at its agent: it is of another version, or not ours.",
        type="testimony-unreadable",
        non_retryable=True,
    )


def reason_of(error: BaseException) -> str:
    """What the activity said when it failed, without what Temporal says about it and without its own causes."""
    while error.__cause__ is not None and not isinstance(error, ApplicationError):
        error = error.__cause__
    if isinstance(error, TemporalTimeoutError):
        return "Nobody answered in time."
    said = error.message if isinstance(error, ApplicationError) else str(error)
    return cut(said, REASON) or type(error).__name__
