"""An agent that can do one thing, a control worker that orders it, and a Temporal server between them."""

import asyncio
import contextlib
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Self

from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    UnsandboxedWorkflowRunner,
    Worker,
)

from activities.contracts.host import Pinged, PingOrder
from activities.orders.interceptor import OrderGuard
from activities.orders.journal import OrderJournal
from segmentation.errors import FirebreakError
from tests.activities.orders.payloads import agent, control

VERB = "ping_host"


class Busy(FirebreakError):
    """Worth another try."""

    code: ClassVar[str] = "busy"
    retryable: ClassVar[bool] = True


@workflow.defn
class GiveOrders:
    """Gives each order to web, one after the other."""

    @workflow.run
    async def run(self, orders: list[PingOrder]) -> list[Pinged]:
        return [await self._give(order) for order in orders]

    async def _give(self, order: PingOrder) -> Pinged:
        pinged: Pinged = await workflow.execute_activity(
            VERB,
            order,
            task_queue="host.web",
            result_type=Pinged,
            start_to_close_timeout=timedelta(seconds=5),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=20), maximum_attempts=3),
        )
        return pinged


@workflow.defn
class GiveNothing:
    """Orders a verb without an order."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(VERB, task_queue="host.web", start_to_close_timeout=timedelta(seconds=5))


class LosesAnswers(Interceptor):
    """Loses the first answers of an agent on their way, as a crash after the work would."""

    def __init__(self, count: int) -> None:
        self.count = count

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Losing(next, self)


class _Losing(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, loses: LosesAnswers) -> None:  # noqa: A002
        super().__init__(next)
        self._loses = loses

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        answer = await super().execute_activity(input)
        if self._loses.count:
            self._loses.count -= 1
            msg = "the answer was lost"
            raise RuntimeError(msg)
        return answer


class Bench:
    """Web's agent, guarded, and whoever gives it orders."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._client = client
        self._journal = OrderJournal(folder / "journal.db")
        self._closing = contextlib.AsyncExitStack()
        self.pings = 0
        self.troubles: list[Exception] = []
        self.reported: list[tuple[str, str, str]] = []

    async def __aenter__(self) -> Self:
        self._closing.callback(self._journal.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._closing.aclose()

    @activity.defn(name=VERB)
    async def ping_host(self, order: PingOrder) -> Pinged:
        """Counts; fails as often as it has troubles."""
        self.pings += 1
        if self.troubles:
            raise self.troubles.pop()
        return Pinged(at=datetime.now(UTC))

    async def start(self, *outer: Interceptor) -> None:
        """Start the agent; `outer` stands before its guard."""
        guard = OrderGuard("web", self._journal, lambda *said: self.reported.append(said))
        worker = Worker(
            with_converter(self._client, agent()),
            task_queue="host.web",
            activities=[self.ping_host],
            interceptors=[*outer, guard],
            build_id="tests",
        )
        await self._closing.enter_async_context(worker)

    async def give(self, *orders: PingOrder, converter: DataConverter | None = None) -> list[Pinged]:
        """Have a workflow give orders, by a worker with our converter or another one."""
        pinged: list[Pinged] = await self._run(GiveOrders.run, [list(orders)], converter or control())
        return pinged

    async def give_nothing(self) -> None:
        """Have a workflow call the verb with no order at all."""
        await self._run(GiveNothing.run, [], control())

    async def refusal(self, *orders: PingOrder, converter: DataConverter | None = None) -> ApplicationError:
        """Why the last of the orders was not carried out."""
        try:
            await self.give(*orders, converter=converter)
        except WorkflowFailureError as error:
            return reported_failure(error)
        msg = "the order was carried out"
        raise AssertionError(msg)

    async def _run(self, run: Any, arguments: list[Any], converter: DataConverter) -> Any:
        client, queue = with_converter(self._client, converter), f"orders-{uuid.uuid4().hex[:8]}"
        worker = Worker(
            client,
            task_queue=queue,
            workflows=[GiveOrders, GiveNothing],
            workflow_runner=UnsandboxedWorkflowRunner(),
            build_id="tests",
        )
        async with worker, asyncio.timeout(20):
            return await client.execute_workflow(run, args=arguments, id=queue, task_queue=queue)


def reported_failure(error: BaseException) -> ApplicationError:
    """The failure that the agent reported."""
    while error.__cause__ is not None and not isinstance(error, ApplicationError):
        error = error.__cause__
    assert isinstance(error, ApplicationError)
    return error


def with_converter(client: Client, converter: DataConverter) -> Client:
    """The same connection, another data converter."""
    config = client.config()
    config["data_converter"] = converter
    return Client(**config)
