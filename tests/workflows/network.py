"""Hosts in memory, in place of `activities.host`: they keep state, take real orders, and touch no kernel.

The real verbs have their own tests in network namespaces. Here a host is its set of our tables, and a witness sees
whether another one has any.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity

from activities.contracts.collecting import CaptureOrder, Collected, CollectVolatileOrder, FreezeOrder
from activities.contracts.host import (
    FindIntrudersOrder,
    Intruders,
    Isolated,
    IsolateOrder,
    Killed,
    KillOrder,
    Observed,
    ObserveOrder,
    Pinged,
    PingOrder,
    ProcessRef,
    Released,
    ReleaseOrder,
    Renewed,
    RenewOrder,
)
from activities.contracts.orders import Order
from activities.contracts.probing import LifelineOrder, Probed, ProbeOrder
from activities.host.planning import PlanStale
from playbooks.host_isolation import HostChange, HostObservation, Interface, plan_isolation
from playbooks.proof import Aspect, Measurement, Result
from segmentation.workloads import Workload
from tests.workflows.artefacts import artefact

Network = dict[str, "FakeHost"]


class FakeHost:
    """One host: `tables` are in force, `applied` counts the batches that were loaded."""

    def __init__(self, workload: Workload, network: Network) -> None:
        self.workload = workload
        self.network = network
        self.tables: dict[str, HostChange] = {}
        self.applied = 0
        self.carried_out: Counter[str] = Counter()
        self.orders: list[Order] = []
        self.lifeline: Result = "open"
        self.devices: tuple[str, ...] = ("eth0",)
        self.processes: tuple[ProcessRef, ...] = ()
        self.troubles: dict[str, Exception] = {}
        self.garbled = False
        # What a taken agent answers in place of the truth, by verb: a model of any JSON.
        self.lies: dict[str, Any] = {}
        self.says: dict[str, tuple[Measurement, ...]] = {}
        self._closed_doors: dict[str, asyncio.Event] = {}
        network[workload.workload_id] = self

    @property
    def isolated(self) -> bool:
        """Whether any of our tables is in force."""
        return bool(self.tables)

    @property
    def activities(self) -> list[Callable[..., Any]]:
        """Every verb, to register with a worker."""
        found = [getattr(self, name) for name in dir(type(self)) if name != "activities"]
        return [verb for verb in found if hasattr(verb, "__temporal_activity_definition")]

    def hold_back(self, verb: str) -> asyncio.Event:
        """Have a verb wait, once carried out, until the event is set: its answer is under way."""
        return self._closed_doors.setdefault(verb, asyncio.Event())

    def observation(self) -> HostObservation:
        """The host as it is now."""
        interfaces = tuple(Interface(name=name, ifindex=n) for n, name in enumerate(self.devices, 2))
        return HostObservation(
            host_id=self.workload.workload_id,
            boot_id="boot-1",
            kernel="6.1.0",
            netns_inode=1,
            interfaces=interfaces,
            ruleset_digest="sha256:" + "0" * 64,
            base_chains=(),
            firebreak_tables=tuple(self.tables),
        )

    @activity.defn
    async def ping_host(self, order: PingOrder) -> Pinged:
        await self._begin(order)
        return Pinged(at=datetime.now(UTC))

    @activity.defn
    async def observe_host(self, order: ObserveOrder) -> Observed:
        await self._begin(order)
        return Observed(observation=self.observation())

    @activity.defn
    async def isolate_host(self, order: IsolateOrder) -> Isolated:
        await self._begin(order)
        if self.garbled:
            return Pinged(at=datetime.now(UTC))  # type: ignore[return-value]  # what a taken agent may answer
        before = self.observation()
        change = plan_isolation(before, order.intent)
        if order.change is not None and change.plan_hash != order.change.plan_hash:
            raise PlanStale(f"The plan for {self.workload.name} has changed.", hint="Decide on the new one.")
        if not change.empty:
            self.tables[change.table] = change
            self.applied += 1
        dead = self.lifeline != "open"
        if dead:
            del self.tables[change.table]
        await self._answer()
        return Isolated(
            observation=before,
            change=change,
            applied_at=datetime.now(UTC),
            read_back=True,
            already_standing=change.empty,
            rolled_back=dead,
            lifeline=self._lifeline(),
            detail="temporal 10.99.0.1:7233 did not answer" if dead else "",
        )

    @activity.defn
    async def renew_lease(self, order: RenewOrder) -> Renewed:
        await self._begin(order)
        standing = order.change.table in self.tables
        self.tables[order.change.table] = order.change
        self.applied += not standing
        await self._answer()
        return Renewed(until=datetime.now(UTC) + timedelta(seconds=order.lease_seconds), standing=standing)

    @activity.defn
    async def release_host(self, order: ReleaseOrder) -> Released:
        await self._begin(order)
        standing = self.tables.pop(order.change.table, None) is not None
        restored = self.observation().firebreak_tables == order.observation.firebreak_tables
        await self._answer()
        return Released(released_at=datetime.now(UTC), restored=restored, was_standing=standing)

    @activity.defn
    async def probe_peers(self, order: ProbeOrder) -> Probed:
        await self._begin(order)
        subject = self.network[order.subject[0].host_id]
        reached: Result = "cut" if subject.isolated or self.isolated else "open"
        aspects: tuple[Aspect, ...] = ("new", "established", "ipv6")
        seen = tuple(self._measured(aspect, reached, subject) for aspect in aspects)
        others = {target.host_id for target in order.bystanders}
        bystanders = tuple(self._measured("bystander", "open", self.network[other]) for other in sorted(others))
        await self._answer()
        return Probed(measurements=self.says.get("probe_peers", (*seen, *bystanders)))

    @activity.defn
    async def probe_lifeline(self, order: LifelineOrder) -> Probed:
        await self._begin(order)
        return Probed(measurements=self.says.get("probe_lifeline", self._lifeline()))

    @activity.defn
    async def find_intruders(self, order: FindIntrudersOrder) -> Intruders:
        await self._begin(order)
        said: Intruders = self.lies.get("find_intruders", Intruders(processes=self.processes))
        return said

    @activity.defn
    async def kill_process_groups(self, order: KillOrder) -> Killed:
        await self._begin(order)
        ended = tuple(p.pid for p in self.processes if p in order.processes)
        self.processes = tuple(p for p in self.processes if p not in order.processes)
        return Killed(ended=ended, confirmed=True)

    @activity.defn
    async def freeze_recorder(self, order: FreezeOrder) -> Collected:
        await self._begin(order)
        return Collected(items=(artefact(self.workload, order, "ring", "packets"),))

    @activity.defn
    async def finish_capture(self, order: CaptureOrder) -> Collected:
        await self._begin(order)
        return Collected(items=(artefact(self.workload, order, "full", "packets"),))

    @activity.defn
    async def collect_volatile(self, order: CollectVolatileOrder) -> Collected:
        await self._begin(order)
        honest = Collected(items=tuple(artefact(self.workload, order, name, "volatile") for name in order.collect))
        said: Collected = self.lies.get("collect_volatile", honest)
        return said

    async def _begin(self, order: Order) -> None:
        verb = activity.info().activity_type
        self.carried_out[verb] += 1
        self.orders.append(order)
        if verb in self.troubles:
            raise self.troubles[verb]

    async def _answer(self) -> None:
        door = self._closed_doors.get(activity.info().activity_type)
        if door is not None:
            await door.wait()

    def _lifeline(self) -> tuple[Measurement, ...]:
        return (self._measured("lifeline", self.lifeline, self),)

    def _measured(self, aspect: Aspect, result: Result, subject: "FakeHost") -> Measurement:
        return Measurement(
            aspect=aspect,
            result=result,
            method="a look at the fake's state",
            witness=self.workload.workload_id,
            subject=subject.workload.workload_id,
            measured_at=datetime.now(UTC),
        )
