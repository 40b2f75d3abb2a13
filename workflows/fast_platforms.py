"""The fast path of targets on one platform: observed together, planned here, changed together.

Owns the two orders that a whole group costs, however many targets it has: each further one would be time in which an
intruder still talks. Every target has an answer of its own, and one that fails holds up no other.

    outcomes = await contain_together(starts, is_allowed)   # -> [Contained | Setback, ...], as `starts` are ordered
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.killswitch import (
        ChangesApplied,
        ChangeTarget,
        ChangeTargets,
        Contained,
        ObserveTarget,
        ObserveTargets,
        PlatformObservation,
        Refused,
        TargetsObserved,
    )
    from activities.contracts.response import ContainStart, Planned
    from playbooks.planning import plan_platform
    from playbooks.platform_intent import PlatformIntent
    from segmentation.errors import FirebreakError

from workflows.platform_switch import change_of, contained

# Who does not answer in this time is left to a child, which goes on trying.
FAST = timedelta(seconds=10)
ONCE = RetryPolicy(maximum_attempts=1)
# Of the changes in one order: the engine takes two mebibytes in all.
MAX_BYTES = 1024 * 1024
Choice = tuple[ContainStart, Planned]
IsAllowed = Callable[[ContainStart, Planned], bool]


class Setback(NamedTuple):
    """Why a target was not contained at once, and the plan if one was made. No error: people have to be asked.

    `for_all`: the error is of an order about several, and says nothing of any one of them: each is tried alone.
    """

    error: FailureError | None
    planned: Planned | None = None
    for_all: bool = False


Outcome = Contained | Setback


async def contain_together(starts: Sequence[ContainStart], is_allowed: IsAllowed) -> list[Outcome]:
    """Contain targets of one queue at once, those that may be."""
    plans = await _plan(starts)
    outcomes: list[Outcome | None] = []
    chosen: list[Choice] = []
    for start, plan in zip(starts, plans, strict=True):
        if isinstance(plan, Setback):
            outcomes.append(plan)
        elif is_allowed(start, plan):
            outcomes.append(None)
            chosen.append((start, plan))
        else:
            outcomes.append(Setback(error=None, planned=plan))
    applied = iter(await _apply(chosen))
    return [next(applied) if outcome is None else outcome for outcome in outcomes]


async def _plan(starts: Sequence[ContainStart]) -> list[Planned | Setback]:
    orders = ObserveTargets(orders=tuple(_observe(start) for start in starts))
    try:
        observed: TargetsObserved = await workflow.execute_activity(
            "observe_targets",
            orders,
            task_queue=starts[0].target.queue,
            result_type=TargetsObserved,
            start_to_close_timeout=FAST,
            schedule_to_close_timeout=FAST,
            retry_policy=ONCE,
        )
    except FailureError as error:
        return [Setback(error, for_all=True) for _ in starts]
    return [
        Setback(_as_error(answer)) if isinstance(answer, Refused) else _planned(start, answer.observation)
        for start, answer in zip(starts, observed.answers, strict=True)
    ]


async def _apply(chosen: Sequence[Choice]) -> list[Outcome]:
    answers = await asyncio.gather(*(_apply_order(part) for part in _that_fit(chosen)))
    return [outcome for part in answers for outcome in part]


def _that_fit(chosen: Sequence[Choice]) -> list[list[Choice]]:
    """As few orders as carry the changes: of one that is too long for the engine nobody would ever hear."""
    orders: list[list[Choice]] = []
    room = 0
    for start, planned in chosen:
        size = len(planned.change.model_dump_json())
        if not orders or size > room:
            orders.append([])
            room = MAX_BYTES
        orders[-1].append((start, planned))
        room -= size
    return orders


async def _apply_order(chosen: Sequence[Choice]) -> list[Outcome]:
    orders = tuple(
        ChangeTarget(incident_id=start.incident_id, target=start.target, change=change_of(planned))
        for start, planned in chosen
    )
    try:
        applied: ChangesApplied = await workflow.execute_activity(
            "apply_changes",
            ChangeTargets(orders=orders),
            task_queue=chosen[0][0].target.queue,
            result_type=ChangesApplied,
            start_to_close_timeout=FAST,
            schedule_to_close_timeout=FAST,
            retry_policy=ONCE,
        )
    except FailureError as error:
        return [Setback(error, planned, for_all=True) for _, planned in chosen]
    return [
        Setback(_as_error(answer), planned) if isinstance(answer, Refused) else contained(planned, answer)
        for (_, planned), answer in zip(chosen, applied.answers, strict=True)
    ]


def _observe(start: ContainStart) -> ObserveTarget:
    return ObserveTarget(incident_id=start.incident_id, target=start.target, intent=_intent(start))


def _intent(start: ContainStart) -> PlatformIntent:
    if not isinstance(start.intent, PlatformIntent):
        raise ApplicationError(f"{start.target.name} is on a platform, its intent is one for a host")
    return start.intent


def _planned(start: ContainStart, observation: PlatformObservation) -> Planned | Setback:
    try:
        change = plan_platform(observation, _intent(start))
    except FirebreakError as error:
        return Setback(_as_error(Refused(code=error.code, reason=error.summary, hint=error.hint, retryable=False)))
    return Planned(observation=observation, change=change)


def _as_error(refused: Refused) -> ApplicationError:
    # What was planned from is not there any more: the child plans anew, over what stands of this plan.
    may_come_right = refused.retryable or refused.code == "plan-stale"
    return ApplicationError(refused.reason, refused.hint, type=refused.code, non_retryable=not may_come_right)
