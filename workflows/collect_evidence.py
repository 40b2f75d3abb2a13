"""CollectEvidenceWorkflow: evidence of one target, in order of volatility, whatever containment did.

Owns the order and the time budget on a host; of what is on a platform `workflows.collect_platform` owns them.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.collecting import CaptureOrder, CollectVolatileOrder, FreezeOrder
    from activities.contracts.host import FindIntrudersOrder, Intruders, ProcessRef
    from activities.contracts.orders import Order, OrderHeader
    from activities.contracts.response import CollectResult, CollectStart

from workflows.collect_platform import PlatformCollection
from workflows.gathered import Gathered
from workflows.listing import CHILD_BYTES, of_items
from workflows.orders import COLLECTING_LIFE, Orders, collect_from, give, reason_of


@workflow.defn
class CollectEvidenceWorkflow:
    """Of a host: freezes the flight recorder, collects volatile state, finishes the full-length capture."""

    @workflow.init
    def __init__(self, start: CollectStart) -> None:
        self._start = start
        self._orders = Orders(start.incident_id)
        self._gathered = Gathered(start)

    @workflow.run
    async def run(self, start: CollectStart) -> CollectResult:
        """Returns every item with its outcome; a collector that failed is in `problems`."""
        intruders: tuple[ProcessRef, ...] = ()
        if start.target.kind == "host":
            intruders = (await asyncio.gather(self._volatile(), self._packets(), self._intruders()))[2]
        else:
            await PlatformCollection(start, self._orders, self._gathered).run()
        return self._result(intruders)

    def _result(self, intruders: tuple[ProcessRef, ...]) -> CollectResult:
        """Of many items the first: all are in the case."""
        gathered = self._gathered
        listed = of_items(gathered.items, CHILD_BYTES)
        return CollectResult(
            items=listed,
            intruders=intruders,
            problems=tuple(gathered.problems),
            unlisted=len(gathered.items) - len(listed),
        )

    async def _volatile(self) -> None:
        start, spec = self._start, self._start.forensics
        order = CollectVolatileOrder(
            header=self._header(spec.budget_seconds),
            collect=spec.collect,
            budget_seconds=spec.budget_seconds,
            files=spec.files,
            memory_max_mib=spec.memory_max_mib,
            accused=start.accused,
            accused_ports=start.accused_ports,
        )
        await self._collect("collect_volatile", order, spec.budget_seconds)

    async def _packets(self) -> None:
        seconds = self._start.forensics.capture_seconds
        await self._collect("freeze_recorder", FreezeOrder(header=self._header(0), capture_seconds=seconds), 0)
        capture = CaptureOrder(header=self._header(seconds), capture_seconds=seconds)
        await self._collect("finish_capture", capture, seconds)

    def _header(self, seconds: float) -> OrderHeader:
        return self._orders.header(self._start.target, life=timedelta(seconds=seconds) + COLLECTING_LIFE)

    async def _collect(self, verb: str, order: Order, seconds: float) -> None:
        target = self._start.target
        try:
            collected = await collect_from(target, verb, order, seconds, self._orders)
            attested = collected.attested_by == target.workload_id
            await self._gathered.register(collected.items, f"agent:{target.name}", attested=attested, owner=target)
        except FailureError as error:
            self._gathered.problems.append(f"{verb}: {reason_of(error)}")

    async def _intruders(self) -> tuple[ProcessRef, ...]:
        start = self._start
        order = FindIntrudersOrder(
            header=self._orders.header(start.target),
            destinations=start.accused,
            ports=start.accused_ports,
        )
        try:
            found = await give(start.target, "find_intruders", order, Intruders)
        except FailureError as error:
            self._gathered.problems.append(f"find_intruders: {reason_of(error)}")
            return ()
        if found.attested_by != start.target.workload_id:
            # What is named here may be ended: not on the word of somebody who merely reaches the queue.
            self._gathered.problems.append(f"find_intruders: {start.target.name} did not sign its answer")
            return ()
        if found.left_out:
            self._gathered.problems.append(f"find_intruders: {found.left_out} more processes are not named")
        return found.processes
