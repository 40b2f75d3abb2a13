"""ContainTargetWorkflow: one target, from plan to release. Owns the lease.

observe -> plan -> gate -> apply -> verify -> lease -> release. On the incident's fast path the first four have
happened when it starts; else `workflows.attempts` goes through them. Never re-opens a contained target except by
release, by a dead lifeline, or by the end of its lease. How a kind of target does these things is in
`workflows.host_switch` and `workflows.platform_switch`.
"""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.host import Isolated
    from activities.contracts.incident import ReleaseRequest, TargetState, TargetStatus
    from activities.contracts.killswitch import Contained
    from activities.contracts.response import ContainStart
    from playbooks.gates import Gate, Outcome

from workflows.attempts import PAUSES, Attempts
from workflows.choosing import switch_of
from workflows.gates import Gatekeeper
from workflows.lease_words import lapsed, last_renewal, shortcomings
from workflows.orders import Orders, reason_of
from workflows.questions import drift_gate
from workflows.stopping import stop_restraint
from workflows.switches import LettingGo, Standing
from workflows.target_news import TargetNews

RENEWALS_PER_RUN = 500


@workflow.defn
class ContainTargetWorkflow(Gatekeeper):
    """Contains one target and holds the lease until it is released or ends."""

    @workflow.init
    def __init__(self, start: ContainStart) -> None:
        super().__init__()
        self._news = TargetNews(start)
        self._announce = self._news.tell_gate
        self._restraint = lambda: stop_restraint(start.incident_id)
        self._start = start
        self._switch = switch_of(start, Orders(start.incident_id))
        self._release: ReleaseRequest | None = start.release
        self._renewals = start.renewals
        self._questions = 0

    @workflow.run
    async def run(self, start: ContainStart) -> TargetStatus:
        """Contain, prove, hold, release; returns where it ended."""
        standing = start.isolated or start.contained or await Attempts(start, self._switch, self._news, self).stand()
        if standing is None:
            return self._news.status
        if isinstance(standing, Isolated) and standing.rolled_back:
            await self._news.become("rolled-back", reason=f"the lifeline was dead: {standing.detail}")
            return self._news.status
        if start.status is None:
            await self._take_over(standing)
        await self._hold_and_let_go(standing)
        return self._news.status

    async def _hold_and_let_go(self, standing: Standing) -> None:
        """Prove it meanwhile: a witness that takes its time must not cost the lease, nor a release its hearing."""
        proven = self._start.status is not None or self._start.release is not None
        proving = asyncio.create_task(asyncio.sleep(0) if proven else self._prove(standing))
        while await self._hold(standing, proving):
            await proving  # what is measured while the target is let go would count against the cut
            # Before the order, not after: whoever asks again while it is carried out must be heard, not forgotten.
            self._release = None
            if await self._let_go(standing):
                return
        await proving
        await self._end_lease(standing)

    @workflow.signal
    def release(self, request: ReleaseRequest) -> None:
        """Lift the isolation; the first request counts."""
        self._release = self._release or request

    async def _take_over(self, standing: Standing) -> None:
        until = standing.applied_at + timedelta(seconds=standing.change.lease_seconds)
        if isinstance(standing, Isolated) and standing.lease_until is not None:
            until = standing.lease_until  # of what stood already, and was taken over
        await self._news.become(
            "isolated",
            change=standing.change,
            observation=standing.observation if isinstance(standing, Isolated) else None,
            applied_at=standing.applied_at,
            lease_until=until if self._start.release is None else None,
            reason=shortcomings(standing),
        )

    async def _prove(self, standing: Standing) -> None:
        proof = await self._switch.prove(standing, until=lambda: self._release is not None)
        await self._news.become("isolated", proof=proof)

    async def _hold(self, standing: Standing, proving: asyncio.Task[None]) -> bool:
        """Renew until somebody asks for the release (True) or the lease has had its longest time (False)."""
        lease, first = self._start.contain.lease, self._renewals
        if self._start.release is not None:
            return await self.release_asked(None)
        last = lease.max_seconds * 3 // lease.ttl_seconds
        # Whoever takes over from another that was ended may come late.
        due = 0 if self._start.succeeds and first == self._start.renewals else lease.ttl_seconds / 3
        while self._renewals < last:
            if await self.release_asked(due):
                return True
            due = lease.ttl_seconds / 3
            self._renewals += 1
            await self._renew(standing, is_last=self._renewals >= last)
            if self._renewals - first >= RENEWALS_PER_RUN and self._release is None:
                await proving
                self._continue(standing)
        # Ends closed: it holds until a person releases it, however long that takes.
        return await self.release_asked(lease.ttl_seconds if lease.ends == "open" else None)

    async def ask_next(self, gate_of: Callable[[int], Gate]) -> Outcome:
        """Ask people one more question; `gate_of` makes its gate from its number."""
        self._questions += 1
        return await self.ask(gate_of(self._questions))

    async def release_asked(self, seconds: float | None) -> bool:
        """Wait so long for somebody to ask for the release, None for ever; whether somebody has."""
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._release is not None, timeout=seconds)
        return self._release is not None

    async def _renew(self, standing: Standing, *, is_last: bool) -> None:
        try:
            renewed = await self._switch.renew(standing)
        except FailureError as error:
            failed = f"renewal failed: {reason_of(error)}{self._lapse()}"
            await self._news.tell_lease(failed, self._news.status.lease_until)
            return
        warning = last_renewal(self._start.contain.lease.ends, renewed.until) if is_last else ""
        await self._news.tell_lease("; ".join(filter(None, (renewed.note, warning))), renewed.until)

    def _lapse(self) -> str:
        by_itself = self._switch.lets_go_by_itself and self._start.contain.lease.ends == "open"
        return lapsed(self._news.status.lease_until, workflow.now()) if by_itself else ""

    def _continue(self, standing: Standing) -> None:
        carried = {
            "isolated": standing.model_copy(update={"read_back": True}) if isinstance(standing, Isolated) else None,
            "contained": standing if isinstance(standing, Contained) else None,
            "planned": None,
            "succeeds": False,
            "renewals": self._renewals,
            "status": self._news.status,
        }
        workflow.continue_as_new(self._start.model_copy(update=carried))

    async def _end_lease(self, standing: Standing) -> None:
        """What carries no end of its own is let go by us; a release that fails is tried until it is done."""
        while not self._switch.lets_go_by_itself:
            if await self._let_go(standing, state="expired", why="the lease reached its longest duration"):
                return
            await self.release_asked(PAUSES[-1].total_seconds())
            self._release = None
        await self._news.become("expired", reason="the lease reached its longest duration")

    async def _let_go(self, standing: Standing, state: TargetState = "released", why: str = "") -> bool:
        try:
            gone = await self._switch.release(standing, overwrite=False)
            if gone.ours and await self._people_want_it_back(gone):
                gone = await self._switch.release(standing, overwrite=True)
        except FailureError as error:
            problem = reason_of(error)
            await self._news.become("isolated", reason=f"release failed: {problem}", release_problem=problem)
            return False
        absent = "" if gone.was_standing else "it was no longer cut off when it was let go"
        reason = "; ".join(filter(None, (why, absent, *gone.drift)))
        await self._news.become(state, restored=gone.restored, reason=reason)
        return True

    async def _people_want_it_back(self, gone: LettingGo) -> bool:
        """Somebody has changed what we set: what is ours is restored, of the rest people say what becomes of it."""
        waits = f"people decide about what somebody changed meanwhile: {'; '.join(gone.ours)}"
        await self._news.become("isolated", reason=waits, release_problem=waits)
        return await self.ask_next(lambda number: drift_gate(self._start, gone.ours, number)) == "approved"
