"""Speaking to workflows: Updates, workflows that are waited for, and what their refusals mean.

Owns the way of a request to a workflow and back. A refusal carries the code of the error that was raised there; it
becomes that error's problem.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from pydantic import BaseModel
from temporalio.client import (
    Client,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from api.dependencies import ApiDependencies
from api.errors import ApiError, Conflict, Unavailable

CONTROL_QUEUE = "control"


class UpdateRefused(ApiError):
    """What a workflow refused, with the code of its reason."""

    status: ClassVar[int] = 409

    def __init__(self, code: str, summary: str, *, hint: str = "") -> None:
        super().__init__(summary, hint=hint)
        self.code = code  # type: ignore[misc]  # one class for every reason that a workflow knows


class TemporalAway(Unavailable):
    """The workflow engine can't be reached."""

    code: ClassVar[str] = "temporal-away"


class WorkflowSilent(Unavailable):
    """Temporal took the update, and no worker answered it."""

    code: ClassVar[str] = "workflow-silent"


class WorkflowEnded(Conflict):
    """The workflow has ended or never began."""

    code: ClassVar[str] = "workflow-ended"


async def update_workflow(
    given: ApiDependencies, workflow_id: str, name: str, argument: BaseModel, update_id: str | None = None
) -> None:
    """Have a workflow take an Update.

    Raises:
        UpdateRefused: by its validator, with the reason.
        WorkflowEnded: nobody is there to take it.
        Unavailable: Temporal or every worker is away.
    """
    client = await connect(given)
    try:
        async with asyncio.timeout(given.limits.update_seconds):
            await client.get_workflow_handle(workflow_id).execute_update(name, argument, id=update_id)
    except WorkflowUpdateFailedError as error:
        raise _refusal(error) from error
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise WorkflowSilent(
            f"Workflow {workflow_id} did not answer within {given.limits.update_seconds:g} s.",
            hint="See that a worker runs (firebreak doctor), then look whether it was taken after all.",
        ) from error
    except RPCError as error:
        raise _unreached(error, workflow_id) from error


async def connect(given: ApiDependencies) -> Client:
    """The client of Temporal.

    Raises:
        TemporalAway: it can't be reached.
    """
    try:
        return await given.temporal()
    except (RPCError, RuntimeError, OSError) as error:
        # The SDK's bridge raises RuntimeError where no connection could be made.
        raise TemporalAway(
            "Temporal can't be reached.", hint="See firebreak doctor; alerts are kept meanwhile."
        ) from error


@contextmanager
def waited_for(*, code: str, silent: ApiError) -> Iterator[None]:
    """What a workflow that is run to its end may end with.

    Raises:
        UpdateRefused: with the reason of the error in it, or `code` where that names none.
        TemporalAway: it was not taken.
        ApiError: `silent`, where it ended without an error of ours, as one does that nobody worked on in time.
    """
    try:
        yield
    except WorkflowFailureError as error:
        raise _ending(error, code, silent) from error
    except RPCError as error:
        raise TemporalAway("Temporal did not take it.", hint="See firebreak doctor, then ask again.") from error


def _ending(error: WorkflowFailureError, code: str, silent: ApiError) -> ApiError:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ApplicationError):
        cause = cause.__cause__
    return silent if cause is None else _refused(cause, code)


def _refusal(error: WorkflowUpdateFailedError) -> ApiError:
    if not isinstance(error.cause, ApplicationError):
        return Conflict("The workflow could not do it.", hint="Its history says why.")
    return _refused(error.cause, "update-refused")


def _refused(cause: ApplicationError, code: str) -> UpdateRefused:
    hint = str(cause.details[0]) if cause.details else ""
    return UpdateRefused(cause.type or code, cause.message, hint=hint)


def _unreached(error: RPCError, workflow_id: str) -> ApiError:
    if error.status == RPCStatusCode.NOT_FOUND:
        return WorkflowEnded(
            f"Workflow {workflow_id} has ended or not begun.",
            hint="Read the incident: its timeline says which.",
        )
    return TemporalAway("Temporal did not take it.", hint="See firebreak doctor, then send it again.")
