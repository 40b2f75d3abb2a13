"""Trying to contain one target until it stands, is refused for good, or nobody wants it any more.

Owns the tries, what people are asked before one, and what was last sent to be applied. Who holds what stands is in
`workflows.contain_target`.

    standing = await Attempts(start, switch, news, people).stand()    # None: it has ended, and `news` says how
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.incident import TargetState
    from activities.contracts.response import ContainStart, Planned
    from playbooks.change import PlatformChange, replanned
    from playbooks.gates import Gate, Outcome
    from playbooks.host_isolation import HostObservation
    from playbooks.planning import as_observed
    from playbooks.safeguards import protection

from workflows.orders import reason_of
from workflows.questions import contain_gate
from workflows.stopping import stop_restraint
from workflows.switches import Standing, Switch, kind_of, may_come_right
from workflows.target_news import TargetNews

# Between two tries of what may come right by itself: a host that is away, a cluster that nobody reaches.
PAUSES = (timedelta(seconds=2), timedelta(seconds=10), timedelta(seconds=60))


class People(Protocol):
    """Whoever decides on the target, or wants it let go."""

    restrained_by: str  # why their silence did not count as a yes

    async def ask_next(self, gate_of: Callable[[int], Gate]) -> Outcome:
        """Ask one more question; `gate_of` makes its gate from its number."""

    async def release_asked(self, seconds: float | None) -> bool:
        """Wait so long for somebody to ask for the release, None for ever; whether somebody has."""


class Attempts:
    """The tries of one target."""

    def __init__(self, start: ContainStart, switch: Switch, news: TargetNews, people: People) -> None:
        self._start = start
        self._switch = switch
        self._news = news
        self._people = people
        # What is being tried, what people said yes to, and what was last sent to be applied: it may stand in part.
        self._planned = self._attempted = start.planned
        self._approved = start.planned if start.approved else None

    async def stand(self) -> Standing | None:
        """Apply until it stands, is refused for good, or nobody wants it any more; no longer than it would stand."""
        tries, until = 0, workflow.now() + timedelta(seconds=self._start.contain.lease.max_seconds)
        while True:
            try:
                if not (reason := await self._restrained(tries)):
                    return await self._plan_and_apply()
            except FailureError as error:
                reason = reason_of(error)
                if kind_of(error) == "plan-stale":
                    self._planned = self._approved = None  # planned anew, over what stands of it
                elif not may_come_right(error) or workflow.now() >= until:
                    return await self._end_as("failed", reason)
            await self._news.become("applying", reason=f"{reason} Trying again.")
            if await self._people.release_asked(PAUSES[min(tries, len(PAUSES) - 1)].total_seconds()):
                # What stands of it is let go by the same request.
                return await self._end_as("failed", f"given up on request; last: {reason}")
            tries += 1

    async def _end_as(self, state: TargetState, reason: str) -> Standing | None:
        """It ends so, unless part of a change stands: that needs a holder, or nobody could ever let it go."""
        standing = await self._switch.left_behind(self._attempted) if self._attempted is not None else None
        if standing is None:
            await self._news.become(state, reason=reason)
        return standing

    async def _restrained(self, tries: int) -> str:
        """Why what nobody approved must not be tried again now: somebody may have stopped everything meanwhile."""
        if self._start.gate is not None or not (tries or self._start.delayed):
            return ""
        restraint = await stop_restraint(self._start.incident_id)
        return restraint and f"{restraint}."

    async def _plan_and_apply(self) -> Standing | None:
        """Ask where people have to be asked, and apply; None: they said no."""
        planned = self._approved or self._planned
        if planned is None and (self._start.gate is not None or self._switch.plans_first):
            planned = self._planned = await self._new_plan()
        if planned is not None and self._approved is None and self._needs_people(planned):
            if not await self._people_approve(planned):
                reason = self._people.restrained_by or "people or the deadline denied the plan"
                return await self._end_as("denied", reason)
            self._approved = planned
        await self._show(planned)
        self._attempted = planned
        return await self._switch.apply(planned, approved=self._approved is not None)

    async def _new_plan(self) -> Planned:
        """What is planned over our own earlier work keeps what stood before that."""
        planned = await self._switch.plan()
        earlier = self._attempted.change if self._attempted is not None else None
        if not isinstance(earlier, PlatformChange) or not isinstance(planned.change, PlatformChange):
            return planned
        return planned.model_copy(update={"change": replanned(earlier, planned.change)})

    def _needs_people(self, planned: Planned) -> bool:
        return self._start.gate is not None or bool(self._protection(planned))

    async def _people_approve(self, planned: Planned) -> bool:
        await self._show(planned, "awaiting-decision")
        start, protected = self._start, self._protection(planned)
        return await self._people.ask_next(lambda number: contain_gate(start, planned, number, protected)) == "approved"

    def _protection(self, planned: Planned) -> str:
        """Why the target is protected by what only its platform knew; a host was judged before."""
        seen, start = planned.observation, self._start
        if isinstance(seen, HostObservation):
            return ""
        return protection(start.safeguards, start.contain, as_observed(start.target, seen))

    async def _show(self, planned: Planned | None, state: TargetState = "applying") -> None:
        """What is planned; of a target without a plan of ours there is nothing to tell yet."""
        if planned is None:
            return
        observation = planned.observation if isinstance(planned.observation, HostObservation) else None
        await self._news.become(state, change=planned.change, observation=observation)
