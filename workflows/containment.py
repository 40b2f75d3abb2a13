"""Containing the targets of one incident: at once, after corroboration, or by people's decision.

Owns the fast path and the routes. Who holds the leases is in `workflows.leases`; the incident owns the record and the
stages.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.host import Isolated
    from activities.contracts.incident import (
        CorroborateAlert,
        Corroboration,
        IncidentStart,
        TargetStatus,
    )
    from activities.contracts.response import ContainStart, Planned
    from playbooks.playbook import Playbook
    from playbooks.triage import Route, choose_route
    from segmentation.workloads import Workload

from workflows.choosing import switch_of
from workflows.fast_platforms import FAST, Outcome, Setback, contain_together
from workflows.gates import Gatekeeper
from workflows.intents import intent_of
from workflows.leases import Leases
from workflows.orders import Orders, reason_of
from workflows.record import IncidentRecord
from workflows.stopping import stop_restraint
from workflows.switches import Standing, may_come_right
from workflows.together import Together, as_seen, by_gate

TOGETHER = 20


class Containments:
    """The targets of one incident."""

    def __init__(self, start: IncidentStart, playbook: Playbook, record: IncidentRecord, people: Gatekeeper) -> None:
        self._gatekeeper = people
        self._start = start
        self._playbook = playbook
        self._record = record
        self._orders = Orders(start.incident_id)
        self.leases = Leases(start.targets, self._contain_start, record)
        self._together = Together(self.leases, record, people, self._orders)
        self._deciding: list[asyncio.Task[None]] = []
        # True once nothing that is urgent is under way: the ledger must not compete with the cut.
        self.fast_path_done = False

    async def run(self) -> None:
        """Give every order that may be given at once, then go the longer routes; returns when all are under way."""
        routes = {target.workload_id: self._route(target, None) for target in self._start.targets}
        fast = [t for t in self._start.targets if routes[t.workload_id].way == "at-once"]
        slow = [t for t in self._start.targets if routes[t.workload_id].way != "at-once"]
        if fast:
            await asyncio.gather(*(self._contain_at_once(group) for group in _by_queue(fast)))
        self.fast_path_done = True
        await self._contain_slowly(slow, routes)

    @property
    def only_held(self) -> bool:
        """Whether nothing is under way here that a next run of the incident could not go on with."""
        return self.leases.all_started and all(task.done() for task in self._deciding)

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

    def _route(self, target: Workload, corroborated: bool | None, restraint: str = "") -> Route:
        start = self._start
        return choose_route(
            self._playbook,
            target,
            targets=len(start.targets),
            signed=start.alerts.first.signed,
            corroborated=corroborated,
            restraint=restraint or start.restraints.get(target.workload_id, ""),
            safeguards=start.safeguards,
        )

    async def _contain_at_once(self, targets: list[Workload]) -> None:
        """The fast path: the order leaves with the first workflow task; a child takes the lease over.

        Who does not answer at once is left to a child that goes on trying: the others wait for nobody.
        """
        starts = [self._contain_start(target) for target in targets]
        if targets[0].kind == "host":
            await asyncio.gather(*(self._host_at_once(start) for start in starts))
            return
        outcomes = await contain_together(starts, self._is_allowed)
        pairs = zip(starts, outcomes, strict=True)
        await asyncio.gather(*(self._settle(start, outcome) for start, outcome in pairs))

    async def _host_at_once(self, start: ContainStart) -> None:
        try:
            standing = await switch_of(start, self._orders).apply(None, approved=False, patience=FAST)
        except FailureError as error:
            await self._not_at_once(start, error)
            return
        await self._take_over(start, standing)

    async def _settle(self, start: ContainStart, outcome: Outcome) -> None:
        if not isinstance(outcome, Setback):
            await self._take_over(start, outcome)
        elif outcome.error is not None and outcome.planned is not None:
            # Part of it may stand: whoever goes on with it, or ends it, has to hold it.
            self._delayed(start, outcome.error)
            await self.leases.hold(start.model_copy(update={"planned": outcome.planned, "delayed": True}))
        elif outcome.error is not None:
            await self._not_at_once(start, outcome.error, its_own=not outcome.for_all)
        elif outcome.planned is not None:
            await self._ask_people(start.target, self._route(as_seen(start.target, outcome.planned), None))

    async def _take_over(self, start: ContainStart, standing: Standing) -> None:
        target = start.target
        details = {"plan_hash": standing.change.plan_hash, "applied_at": standing.applied_at.isoformat()}
        actor = f"agent:{target.name}" if target.kind == "host" else f"worker:{target.queue}"
        self._record.note("isolation-applied", f"{target.name} was cut off.", actor=actor, **details)
        field = "isolated" if isinstance(standing, Isolated) else "contained"
        await self.leases.hold(start.model_copy(update={field: standing}))

    async def _not_at_once(self, start: ContainStart, error: FailureError, *, its_own: bool = True) -> None:
        target, reason = start.target, reason_of(error)
        if not its_own or may_come_right(error):
            self._delayed(start, error)
            await self.leases.hold(start.model_copy(update={"delayed": True}))
            return
        self._record.set_target(TargetStatus(workload=target, state="failed", reason=reason))
        self._record.note("target-failed", f"{target.name} could not be isolated: {reason}")

    def _delayed(self, start: ContainStart, error: FailureError) -> None:
        words = f"{start.target.name} could not be isolated at once: {reason_of(error)} Trying again."
        self._record.note("target-delayed", words)

    def _is_allowed(self, start: ContainStart, planned: Planned) -> bool:
        """The labels of a platform's target are known only once it was observed: people may have to be asked."""
        return self._route(as_seen(start.target, planned), None).way != "people-decide"

    async def _contain_by_route(self, target: Workload) -> None:
        route = self._route(target, None)
        if route.way == "corroborate-first":
            found = await self.corroborate()
            route = self._route(target, found)
            if found is None:
                why = "the SIEM could not corroborate the message"
                route = route.model_copy(update={"way": "people-decide", "reason": why})
            elif route.way == "at-once" and (why := await stop_restraint(self._start.incident_id)):
                route = self._route(target, found, why)
        await self._ask_people(target, route)

    async def _contain_slowly(self, targets: list[Workload], routes: dict[str, Route]) -> None:
        """By corroboration and by people, side by side; what one and the same gate is for is asked once."""
        together = [group for group in by_gate(targets, routes) if len(group) > 1]
        grouped = {target.workload_id for group in together for target in group}
        alone = [target for target in targets if target.workload_id not in grouped]
        # Nobody waits for people here: evidence is collected while they decide.
        numbered = enumerate(together, 1)
        decisions = (self._ask_about_all(group, routes[group[0].workload_id], n) for n, group in numbered)
        self._deciding.extend(asyncio.create_task(decision) for decision in decisions)
        await asyncio.gather(*(self._contain_by_route(target) for target in alone))

    async def _ask_about_all(self, targets: list[Workload], route: Route, group: int) -> None:
        starts = [self._contain_start(target).model_copy(update={"gate": route.gate}) for target in targets]
        await self._together.contain(starts, route, group, lambda seen: self._route(seen, None).gate)

    async def _ask_people(self, target: Workload, route: Route) -> None:
        if route.way == "at-once" and target.kind != "host":
            await self._contain_at_once([target])  # its labels are judged once it was observed
            return
        self._record.note("route-chosen", f"{target.name}: {route.way}, because {route.reason}.")
        gate = None if route.way == "at-once" else route.gate
        question = f"Isolate {target.name}? {route.reason}."
        await self.leases.hold(self._contain_start(target).model_copy(update={"gate": gate, "question": question}))

    def _contain_start(self, target: Workload) -> ContainStart:
        targets = {other.workload_id for other in self._start.targets}
        return ContainStart(
            incident_id=self._start.incident_id,
            target=target,
            # Who is contained too sees nothing of the others, and would call everybody cut.
            witnesses=tuple(w for w in self._start.witnesses if w.workload_id not in targets),
            intent=intent_of(self._start, self._playbook, target, workflow.now()),
            contain=self._playbook.contain,
            requested_by=self._requested_by,
            safeguards=self._start.safeguards,
        )

    @property
    def _requested_by(self) -> str:
        """The person who asked for it, who never decides on it; else the workflow."""
        source = self._start.alerts.first.source
        return source if source.startswith("user:") else "workflow"


def _by_queue(targets: list[Workload]) -> list[list[Workload]]:
    """Targets that are acted on together: of one cluster, or of one account, so that none waits for another's."""
    groups: dict[str, list[Workload]] = {}
    for target in targets:
        account = target.aws.account if target.aws is not None else ""
        groups.setdefault(f"{target.queue} {account}", []).append(target)
    # So many that their answers fit one payload of the engine, even of a cluster with many policies.
    return [group[n : n + TOGETHER] for group in groups.values() for n in range(0, len(group), TOGETHER)]
