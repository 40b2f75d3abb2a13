"""The kill-switch of a Linux host: signed orders to its agent.

Owns which order carries out what. The lease is the kernel's: it ends by itself, whoever lives.
"""

from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.host import (
        DryRun,
        DryRunOrder,
        Isolated,
        IsolateOrder,
        Observed,
        ObserveOrder,
        Released,
        ReleaseOrder,
        Renewed,
        RenewOrder,
    )
    from activities.contracts.response import ContainStart, PlanDocument, Planned
    from playbooks.host_isolation import HostChange, HostObservation, IsolationIntent, plan_isolation
    from playbooks.proof import Proof
    from segmentation.bounds import few

from workflows.listing import WORDS
from workflows.orders import Orders, give
from workflows.proving import Prover
from workflows.switches import PATIENCE, LettingGo, Renewal, Standing

# Lines of what differs after a release: what the incident says of a target.
DRIFT = 16


class HostSwitch:
    """One host."""

    plans_first = False
    lets_go_by_itself = True

    def __init__(self, start: ContainStart, orders: Orders) -> None:
        if not isinstance(start.intent, IsolationIntent):
            raise ApplicationError(f"{start.target.name} is a host, its intent is not one for a host")
        self._start, self._orders, self._intent = start, orders, start.intent

    async def plan(self, patience: timedelta = PATIENCE) -> Planned:
        """See `Switch`."""
        target = self._start.target
        order = ObserveOrder(header=self._orders.header(target))
        observed = await give(target, "observe_host", order, Observed, patience=patience)
        return Planned(observation=observed.observation, change=plan_isolation(observed.observation, self._intent))

    async def apply(self, planned: Planned | None, *, approved: bool, patience: timedelta = PATIENCE) -> Isolated:
        """See `Switch`. The agent observes and plans itself; what people approved must be what it finds."""
        target, change = self._start.target, planned.change if planned and approved else None
        host_change = change if isinstance(change, HostChange) else None
        order = IsolateOrder(
            header=self._orders.header(target, host_change.plan_hash if host_change else None),
            intent=self._intent,
            change=host_change,
        )
        return await give(target, "isolate_host", order, Isolated, patience=patience)

    async def left_behind(self, planned: Planned) -> None:
        """See `Switch`. A batch is loaded whole or not at all; what was loaded its agent has journalled and holds."""

    async def renew(self, standing: Standing) -> Renewal:
        """See `Switch`."""
        target, (_, change) = self._start.target, _of_host(standing)
        ttl = self._start.contain.lease.ttl_seconds
        order = RenewOrder(header=self._orders.header(target, change.plan_hash), change=change, lease_seconds=ttl)
        renewed = await give(target, "renew_lease", order, Renewed)
        note = "" if renewed.standing else "our table was gone and has been applied again"
        return Renewal(until=renewed.until, note=note)

    async def release(self, standing: Standing, *, overwrite: bool) -> LettingGo:  # noqa: ARG002 - see below
        """See `Switch`. Our tables hold nothing of others: there is nothing to overwrite."""
        target, (observation, change) = self._start.target, _of_host(standing)
        order = ReleaseOrder(
            header=self._orders.header(target, change.plan_hash), change=change, observation=observation
        )
        released = await give(target, "release_host", order, Released)
        return LettingGo(released.restored, released.was_standing, few(released.drift, DRIFT, WORDS))

    async def prove(self, standing: Standing, until: Callable[[], bool]) -> Proof:  # noqa: ARG002 - asked from outside
        """See `Switch`."""
        return await Prover(self._start, self._intent, self._orders).prove(until=until)

    async def preview(self) -> PlanDocument:
        """See `Switch`."""
        planned, target = await self.plan(), self._start.target
        change = planned.change
        if not isinstance(change, HostChange):
            raise ApplicationError(f"{target.name} is a host, its plan is not one of a host")
        order = DryRunOrder(header=self._orders.header(target, change.plan_hash), change=change)
        said = await give(target, "dry_run_host", order, DryRun)
        return PlanDocument(
            target=target,
            plan_hash=change.plan_hash,
            summary=change.summary,
            change=change,
            inverse=change.inverse(),
            already_standing=change.empty,
            permissions=("CAP_NET_ADMIN",),
            refusals=said.refusals,
            warnings=said.warnings,
        )


def _of_host(standing: Standing) -> tuple[HostObservation, HostChange]:
    if not isinstance(standing, Isolated):
        raise ApplicationError("what stands is not of a host", non_retryable=True)
    return standing.observation, standing.change
