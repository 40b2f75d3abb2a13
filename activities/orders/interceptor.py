"""The agent's guard: no order is carried out that this host should not carry out.

Owns the refusal of unsigned, misaddressed, expired and replayed orders, the journal around every verb, and the one
place where `FirebreakError` becomes Temporal's `ApplicationError`. Knows no verb.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, get_type_hints

import structlog
from pydantic import BaseModel
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.contracts.orders import Order
from activities.orders.codec import VERIFIED, order_verdict
from activities.orders.journal import OrderJournal
from segmentation.errors import FirebreakError

log = structlog.get_logger(__name__)
Report = Callable[[str, str, str], None]


class OrderRefused(FirebreakError):
    """An order that this host will not carry out."""

    code: ClassVar[str] = "order-refused"


def as_application_error(error: FirebreakError) -> ApplicationError:
    """The same error for Temporal: type is the code, the hint travels as detail."""
    return ApplicationError(error.summary, error.hint, type=error.code, non_retryable=not error.retryable)


class ErrorTranslation(Interceptor):
    """Translates FirebreakError at the edge of every control activity."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - SDK's name
        """See `temporalio.worker.Interceptor`."""
        return _Translating(next)


class _Translating(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - SDK's name
        try:
            return await super().execute_activity(input)
        except FirebreakError as error:
            raise as_application_error(error) from error


class OrderGuard(Interceptor):
    """Stands before every activity of an agent. `report(order_id, verb, reason)` counts and audits refusals."""

    def __init__(self, host_id: str, journal: OrderJournal, report: Report) -> None:
        self._host_id = host_id
        self._journal = journal
        self._report = report

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - SDK's name
        """See `temporalio.worker.Interceptor`."""
        return _Guarding(_Translating(next), self._host_id, self._journal, self._report)


class _Guarding(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, host_id: str, journal: OrderJournal, report: Report) -> None:  # noqa: A002
        super().__init__(next)
        self._host_id, self._journal, self._report = host_id, journal, report

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - SDK's name
        order = self._admit(input)
        header, info = order.header, activity.info()
        bound_to = f"{info.workflow_id}/{info.workflow_run_id}/{info.activity_id}"
        with structlog.contextvars.bound_contextvars(incident_id=header.incident_id, order_id=header.order_id):
            try:
                expires_at = header.expires_at.timestamp()
                earlier = self._journal.begin(header.order_id, bound_to, time.time(), expires_at)
            except FirebreakError as error:
                raise self._refuse(header.order_id, error.summary) from error
            if earlier is not None:
                log.info("order already carried out", verb=info.activity_type)
                return self._result_type(input).model_validate_json(earlier)
            result = await super().execute_activity(input)
            self._journal.finish(header.order_id, result.model_dump_json().encode())
            log.info("order carried out", verb=info.activity_type)
            if self._journal.impaired:
                log.warning("the journal takes nothing: a restart forgets this order", reason=self._journal.impaired)
            self._journal.prune_if_due(time.time())
            return result

    def _admit(self, input: ExecuteActivityInput) -> Order:  # noqa: A002 - SDK's name
        order = input.args[0] if input.args else None
        order_id = order.header.order_id if isinstance(order, Order) else "unknown"
        verdict = order_verdict.get()
        if verdict != VERIFIED:
            raise self._refuse(order_id, verdict or "it carries no payload")
        if not isinstance(order, Order):
            raise self._refuse(order_id, f"it is a {type(order).__name__}, expected an order")
        if order.header.host_id != self._host_id:
            raise self._refuse(order_id, f"it is addressed to {order.header.host_id}, this is {self._host_id}")
        if datetime.now(UTC) > order.header.expires_at:
            raise self._refuse(order_id, f"it expired at {order.header.expires_at.isoformat()}", code="order-expired")
        return order

    def _refuse(self, order_id: str, reason: str, code: str = OrderRefused.code) -> ApplicationError:
        verb = activity.info().activity_type
        log.warning("order refused", order_id=order_id, verb=verb, reason=reason)
        asyncio.get_running_loop().run_in_executor(None, self._report, order_id, verb, reason)
        summary = f"Order {order_id} ({verb}) was refused: {reason}."
        error = OrderRefused(summary, hint="Look at the audit chain: firebreak audit list.")
        return ApplicationError(error.summary, error.hint, type=code, non_retryable=True)

    @staticmethod
    def _result_type(input: ExecuteActivityInput) -> type[BaseModel]:  # noqa: A002 - SDK's name
        result: type[BaseModel] = activity_result_type(input.fn)
        return result


def activity_result_type(fn: Callable[..., Any]) -> type[BaseModel]:
    """The model that an activity is annotated to return."""
    hint = get_type_hints(getattr(fn, "__func__", fn))["return"]
    if not (isinstance(hint, type) and issubclass(hint, BaseModel)):
        msg = f"{fn} must be annotated to return a model"
        raise TypeError(msg)
    return hint
