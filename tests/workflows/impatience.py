"""Orders that wait for an agent for a moment only: minutes of waiting can't be skipped while an activity is open."""

from datetime import timedelta
from typing import Any

from temporalio.worker import (
    Interceptor,
    StartActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from temporalio.workflow import ActivityHandle

MOMENT = timedelta(seconds=1)


class Impatient(Interceptor):
    """Shortens every schedule-to-close timeout of a worker's workflows."""

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002 - SDK's name
    ) -> type[WorkflowInboundInterceptor]:
        return _Inbound


class _Inbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))


class _Outbound(WorkflowOutboundInterceptor):
    def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:  # noqa: A002 - SDK's name
        if input.schedule_to_close_timeout is not None:
            input.schedule_to_close_timeout = input.start_to_close_timeout = MOMENT
        return super().start_activity(input)
