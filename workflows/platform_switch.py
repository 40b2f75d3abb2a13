"""The kill-switch of a target on a platform: Kubernetes or AWS, by the worker that holds its credentials.

Owns the order of the verbs and their patience. What is observed is in history before anything changes, so that a crash
anywhere can't make us take our own work for what was there before.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel

    from activities.contracts.host import Isolated
    from activities.contracts.killswitch import (
        Applied,
        ChangeTarget,
        Contained,
        LetGo,
        ObserveTarget,
        ReadBack,
        TargetObserved,
    )
    from activities.contracts.response import ContainStart, PlanDocument, Planned
    from playbooks.change import PlatformChange
    from playbooks.host_isolation import HostObservation
    from playbooks.planning import plan_platform
    from playbooks.platform_intent import PlatformIntent
    from playbooks.proof import Proof, conclude_configured
    from segmentation.errors import FirebreakError

from workflows.orders import reason_of
from workflows.switches import PATIENCE, LettingGo, Renewal, Standing

T = TypeVar("T", bound=BaseModel)
RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=10)
)


class PlatformSwitch:
    """One target of one platform."""

    plans_first = True
    lets_go_by_itself = False

    def __init__(self, start: ContainStart) -> None:
        if not isinstance(start.intent, PlatformIntent):
            raise ApplicationError(f"{start.target.name} is on a platform, its intent is one for a host")
        self._start, self._intent = start, start.intent

    async def plan(self, patience: timedelta = PATIENCE) -> Planned:
        """See `Switch`."""
        start = self._start
        order = ObserveTarget(incident_id=start.incident_id, target=start.target, intent=self._intent)
        observed = await self._ask("observe_target", order, TargetObserved, patience)
        try:
            change = plan_platform(observed.observation, self._intent)
        except FirebreakError as error:
            raise ApplicationError(error.summary, error.hint, type=error.code, non_retryable=True) from error
        return Planned(observation=observed.observation, change=change)

    async def apply(
        self,
        planned: Planned | None,
        *,
        approved: bool,  # noqa: ARG002 - approved or not: it is exactly this plan
        patience: timedelta = PATIENCE,
    ) -> Contained:
        """See `Switch`. Exactly this plan: where somebody changed the target meanwhile, it is planned anew first."""
        planned = planned or await self.plan(patience)
        applied = await self._ask("apply_change", self._order(change_of(planned)), Applied, patience)
        return contained(planned, applied)

    async def left_behind(self, planned: Planned) -> Contained | None:
        """See `Switch`."""
        change = change_of(planned)
        try:
            found = await self._ask("verify_change", self._order(change), ReadBack, timedelta(minutes=1))
        except FailureError as error:
            # What can't be told apart from nothing is held: else nobody could ever let it go.
            said = (f"whether any of it stands can't be told: {reason_of(error)}",)
            return contained(planned, Applied(applied_at=workflow.now(), problems=said))
        if not found.standing and not found.unreadable:
            return None
        part = f"only {found.standing} of {len(change.settings)} settings are known to stand"
        return contained(planned, Applied(applied_at=found.at, problems=(part, *found.differing)))

    async def renew(self, standing: Standing) -> Renewal:
        """See `Switch`."""
        until = workflow.now() + timedelta(seconds=_contained(standing).change.lease_seconds)
        order = self._order(_contained(standing).change).model_copy(update={"until": until})
        renewed = await self._ask("renew_change", order, Applied, PATIENCE)
        again = f"{renewed.changed} settings had been taken back and were set again" if renewed.changed else ""
        return Renewal(until=until, note="; ".join(filter(None, (again, *(d.words for d in renewed.drift)))))

    async def release(self, standing: Standing, *, overwrite: bool) -> LettingGo:
        """See `Switch`."""
        order = self._order(_contained(standing).change).model_copy(update={"overwrite": overwrite})
        gone = await self._ask("release_change", order, LetGo, PATIENCE)
        ours = tuple(drift.words for drift in gone.drift)
        return LettingGo(gone.restored, gone.was_standing, drift=(*ours, *gone.kept), ours=ours)

    async def prove(self, standing: Standing, until: Callable[[], bool]) -> Proof:  # noqa: ARG002 - asked once
        """See `Switch`. Read back: whoever is contained is not asked, and nobody else can tell."""
        order = self._order(_contained(standing).change)
        try:
            found = await self._ask("verify_change", order, ReadBack, timedelta(minutes=1))
        except FailureError as error:
            return conclude_configured("unknown", (reason_of(error),))
        if found.unreadable:
            return conclude_configured("unknown", found.differing)
        return conclude_configured("differs" if found.differing else "stands", found.differing)

    async def preview(self) -> PlanDocument:
        """See `Switch`."""
        planned = await self.plan()
        change = change_of(planned)
        said = await self._ask("dry_run_change", self._order(change), ReadBack, PATIENCE)
        return PlanDocument(
            target=self._start.target,
            plan_hash=change.plan_hash,
            summary=change.summary,
            change=change,
            inverse=change.inverse(),
            already_standing=change.empty,
            permissions=change.permissions,
            refusals=said.differing,
        )

    def _order(self, change: PlatformChange) -> ChangeTarget:
        return ChangeTarget(incident_id=self._start.incident_id, target=self._start.target, change=change)

    async def _ask(self, verb: str, order: BaseModel, result: type[T], patience: timedelta) -> T:
        answer: T = await workflow.execute_activity(
            verb,
            order,
            task_queue=self._start.target.queue,
            result_type=result,
            start_to_close_timeout=timedelta(seconds=60),
            schedule_to_close_timeout=patience,
            retry_policy=RETRY,
        )
        return answer


def _contained(standing: Standing) -> Contained:
    if isinstance(standing, Isolated):
        raise ApplicationError("what stands is of a host", non_retryable=True)
    return standing


def contained(planned: Planned, applied: Applied) -> Contained:
    """What stands once a plan was applied."""
    observation = planned.observation
    if isinstance(observation, HostObservation):
        raise ApplicationError("a platform's target was observed as a host", non_retryable=True)
    return Contained(
        observation=observation,
        change=change_of(planned),
        applied_at=applied.applied_at,
        problems=applied.problems,
    )


def change_of(planned: Planned) -> PlatformChange:
    """The planned change of a platform's target."""
    if not isinstance(planned.change, PlatformChange):
        raise ApplicationError("the plan is one for a host", non_retryable=True)
    return planned.change
