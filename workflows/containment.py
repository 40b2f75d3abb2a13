"""Containing the targets of one incident: at once, after corroboration, or by people's decision.

Owns the fast path, the routes, and the children that hold the leases. The incident owns the record and the stages.
"""

import asyncio
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ChildWorkflowError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.host import Isolated, IsolateOrder
    from activities.contracts.incident import (
        CorroborateAlert,
        Corroboration,
        IncidentStart,
        ReleaseRequest,
        TargetStatus,
    )
    from activities.contracts.response import ContainStart
    from playbooks.host_isolation import IsolationIntent
    from playbooks.isolation_modes import for_alert
    from playbooks.playbook import Playbook
    from playbooks.triage import Route, choose_route
    from segmentation.workloads import Workload

from workflows.orders import Orders, give, reason_of
from workflows.record import IncidentRecord

HELD = {"isolated"}
SETTLED = {"isolated", "denied", "rolled-back", "failed", "released", "expired"}


class Containments:
    """The targets of one incident."""

    def __init__(self, start: IncidentStart, playbook: Playbook, record: IncidentRecord) -> None:
        self._start = start
        self._playbook = playbook
        self._record = record
        self._orders = Orders(start.incident_id)
        self._children: dict[str, workflow.ChildWorkflowHandle[Any, TargetStatus]] = {}
        self._watching: list[asyncio.Task[None]] = []
        # True once nothing that is urgent is under way: the ledger must not compete with the cut.
        self.fast_path_done = False

    async def run(self) -> None:
        """Give every order that may be given at once, then go the longer routes; returns when all are under way."""
        routes = {target.workload_id: self._route(target, None) for target in self._start.targets}
        fast = [t for t in self._start.targets if routes[t.workload_id].way == "at-once"]
        slow = [t for t in self._start.targets if routes[t.workload_id].way != "at-once"]
        urgent = asyncio.gather(*(self._contain_at_once(target) for target in fast))
        if fast:
            await urgent
        self.fast_path_done = True
        await asyncio.gather(*(self._contain_by_route(target) for target in slow))

    async def release(self, request: ReleaseRequest) -> tuple[str, ...]:
        """Have every child let go; once all have answered, returns what could not be released and why."""
        for status in self._record.snapshot.targets:
            if status.state in HELD:
                self._record.set_target(status.model_copy(update={"release_problem": ""}))
                await self._ask_for_release(status, request)
        await workflow.wait_condition(lambda: not any(_unanswered(t) for t in self._record.snapshot.targets))
        failed = (t for t in self._record.snapshot.targets if t.release_problem)
        return tuple(f"{t.workload.name} was not released: {t.release_problem}" for t in failed)

    async def _ask_for_release(self, status: TargetStatus, request: ReleaseRequest) -> None:
        try:
            await self._children[status.workload.workload_id].signal("release", request)
        except FailureError as error:
            # Read again: it may have let go while we asked, and what was read before must not overwrite that.
            now = self.status_of(status.workload)
            if now is not None and now.state in HELD:
                problem = _no_holder(error)
                self._record.set_target(now.model_copy(update={"release_problem": problem}))

    async def corroborate(self) -> bool | None:
        """Ask the SIEM once; None where it can't say."""
        if not self._start.siem_configured:
            return None
        try:
            found = await self._ask_siem()
        except FailureError as error:
            # A SIEM that is away must not end the incident: people decide instead.
            found = Corroboration(found=None, reason=reason_of(error))
        said = {True: "The SIEM holds", False: "The SIEM does not hold", None: "Nobody could confirm"}[found.found]
        summary = f"{said} the events of the alert. {found.reason}".strip()
        self._record.update(corroborated=found.found)
        self._record.note("corroborated", summary, hits=found.hits)
        return found.found

    async def _ask_siem(self) -> Corroboration:
        found: Corroboration = await workflow.execute_activity(
            "corroborate_alert",
            CorroborateAlert(incident_id=self._start.incident_id, received=self._start.alerts.first),
            result_type=Corroboration,
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(maximum_attempts=3),
        )
        return found

    @property
    def held(self) -> bool:
        """Whether any target is isolated."""
        return any(t.state in HELD for t in self._record.snapshot.targets)

    @property
    def settled(self) -> bool:
        """Whether every target has reached a state that needs nobody's order."""
        states = {t.workload.workload_id: t.state for t in self._record.snapshot.targets}
        return all(states.get(target.workload_id) in SETTLED for target in self._start.targets)

    def status_of(self, target: Workload) -> TargetStatus | None:
        """Where one target stands."""
        statuses = self._record.snapshot.targets
        return next((s for s in statuses if s.workload.workload_id == target.workload_id), None)

    def _route(self, target: Workload, corroborated: bool | None) -> Route:
        signed = self._start.alerts.first.signed
        return choose_route(
            self._playbook, target, targets=len(self._start.targets), signed=signed, corroborated=corroborated
        )

    def _intent(self, target: Workload) -> IsolationIntent:
        return IsolationIntent(
            incident_id=self._start.incident_id,
            host_id=target.workload_id,
            lifeline=self._start.lifeline,
            lease_seconds=self._playbook.contain.lease.ttl_seconds,
            ends=self._playbook.contain.lease.ends,
            log_group=self._start.log_group,
            mode=for_alert(self._playbook.contain.mode, self._destination(), target.addresses),
        )

    def _destination(self) -> tuple[IPv4Address | IPv6Address, ...]:
        """Where the alert says it went: every address of a host that is known, or it would be gone round by another."""
        named = self._start.alerts.first.alert.destination.ip
        known = (w.addresses for w in (*self._start.targets, *self._start.witnesses) if named in w.addresses)
        return next(known, ()) or ((named,) if named is not None else ())

    async def _contain_at_once(self, target: Workload) -> None:
        """The fast path: the order leaves with the first workflow task; a child takes the lease over."""
        order = IsolateOrder(header=self._orders.header(target), intent=self._intent(target))
        try:
            isolated = await give(target, "isolate_host", order, Isolated)
        except FailureError as error:
            reason = reason_of(error)
            self._record.set_target(TargetStatus(workload=target, state="failed", reason=reason))
            self._record.note("target-failed", f"{target.name} could not be isolated: {reason}")
            return
        details = {"plan_hash": isolated.change.plan_hash, "applied_at": isolated.applied_at.isoformat()}
        actor = f"agent:{target.name}"
        self._record.note("isolation-applied", f"{target.name} was cut off.", actor=actor, **details)
        await self._start_child(target, isolated=isolated)

    async def _contain_by_route(self, target: Workload) -> None:
        route = self._route(target, None)
        if route.way == "corroborate-first":
            found = await self.corroborate()
            route = self._route(target, found)
            if found is None:
                why = "the SIEM could not corroborate the message"
                route = route.model_copy(update={"way": "people-decide", "reason": why})
        self._record.note("route-chosen", f"{target.name}: {route.way}, because {route.reason}.")
        gate = None if route.way == "at-once" else route.gate
        await self._start_child(target, gate=gate, question=f"Isolate {target.name}? {route.reason}.")

    async def _start_child(self, target: Workload, **how: Any) -> None:
        start = ContainStart(
            incident_id=self._start.incident_id,
            target=target,
            witnesses=tuple(w for w in self._start.witnesses if w.workload_id != target.workload_id),
            intent=self._intent(target),
            contain=self._playbook.contain,
            **how,
        )
        child_id = f"{workflow.info().workflow_id}.contain.{target.workload_id}"
        child: workflow.ChildWorkflowHandle[Any, TargetStatus] = await workflow.start_child_workflow(
            "ContainTargetWorkflow",
            start,
            id=child_id,
            result_type=TargetStatus,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )
        self._children[target.workload_id] = child
        self._watching.append(asyncio.create_task(self._watch(target, child)))

    async def _watch(self, target: Workload, child: workflow.ChildWorkflowHandle[Any, TargetStatus]) -> None:
        """Hear how the child ended, also where it could not say so: nobody waits for what nobody holds."""
        try:
            last = await child
        except ChildWorkflowError as error:
            await self._outlive(target, _no_holder(error))
            return
        if last != self.status_of(target):
            self._record.set_target(last)

    async def _outlive(self, target: Workload, problem: str) -> None:
        """Whoever held the lease was ended: what was applied stands until its dead-man lets go."""
        status = self.status_of(target) or TargetStatus(workload=target, state="planned")
        self._record.note("lease-unheld", f"{target.name}: {problem}.")
        if status.state not in HELD:
            if status.state not in SETTLED:
                self._record.set_target(status.model_copy(update={"state": "failed", "reason": problem}))
            return
        self._record.set_target(status.model_copy(update={"reason": problem, "release_problem": problem}))
        if self._playbook.contain.lease.ends == "closed" or status.lease_until is None:
            return
        await workflow.sleep(max((status.lease_until - workflow.now()).total_seconds(), 0))
        reason = f"{problem}; its dead-man has let go"
        self._record.set_target(status.model_copy(update={"state": "expired", "reason": reason}))
        self._record.note("target-expired", f"{target.name} is expired: {reason}.")


def _no_holder(error: FailureError) -> str:
    return f"its lease has no holder: {reason_of(error)}"


def _unanswered(status: TargetStatus) -> bool:
    return status.state in HELD and not status.release_problem
