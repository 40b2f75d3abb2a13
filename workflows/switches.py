"""The kill-switch as a workflow sees it: one contract for every kind of target.

Owns the four things a containment does through it (plan, apply, renew, release) and what each tells. How a host does
them is in `workflows.host_switch`, how a platform does in `workflows.platform_switch`; proofs are in
`workflows.proving`.

    switch = switch_of(start, Orders(start.incident_id))   # workflows.choosing
    planned = await switch.plan()
    standing = await switch.apply(planned, approved=False)
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.host import Isolated
    from activities.contracts.killswitch import Contained
    from activities.contracts.response import PlanDocument, Planned
    from playbooks.proof import Proof

Standing = Isolated | Contained
PATIENCE = timedelta(minutes=5)


class Renewal(NamedTuple):
    """Until when the lease runs now, and what was noticed on the way."""

    until: datetime
    note: str = ""


class LettingGo(NamedTuple):
    """What a release did. `ours` are the settings of ours that somebody else has changed: people decide on them."""

    restored: bool
    was_standing: bool
    drift: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()


class Switch(Protocol):
    """The kill-switch of one target. Every method may raise FailureError."""

    plans_first: bool  # whether what stood before has to be in history before anything is applied
    lets_go_by_itself: bool  # whether the end of the lease needs nobody to act

    async def plan(self, patience: timedelta = PATIENCE) -> Planned:
        """Observe the target, and plan from that."""

    async def apply(self, planned: Planned | None, *, approved: bool, patience: timedelta = PATIENCE) -> Standing:
        """Have the plan stand. `approved`: people said yes to exactly this one."""

    async def left_behind(self, planned: Planned) -> Standing | None:
        """What stands, or may stand, of a plan that could not be applied whole; None: nothing does. Never raises."""

    async def renew(self, standing: Standing) -> Renewal:
        """Prolong the lease."""

    async def release(self, standing: Standing, *, overwrite: bool) -> LettingGo:
        """Take back what is ours."""

    async def prove(self, standing: Standing, until: Callable[[], bool]) -> Proof:
        """Measure what the change did, as often as it takes or `until` nobody wants to know any more."""

    async def preview(self) -> PlanDocument:
        """The plan and what the platform's own dry run says of it; nothing is changed."""


def may_come_right(error: FailureError) -> bool:
    """Whether trying again can help: nobody answered, or whoever did said so."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ApplicationError):
            return not cause.non_retryable
        if isinstance(cause, TemporalTimeoutError):
            return True
        cause = cause.__cause__
    return False


def kind_of(error: BaseException) -> str:
    """The stable code of what went wrong; empty where there is none."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ApplicationError):
        cause = cause.__cause__
    return (cause.type or "") if isinstance(cause, ApplicationError) else ""
