"""CollectEvidenceWorkflow: evidence of one host, in order of volatility, whatever containment did.

Owns the order and the time budget. Large things never pass here: only manifests, hashes and references.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.evidence import (
        Authority,
        CaptureOrder,
        Collected,
        CollectedItem,
        CollectVolatileOrder,
        FreezeOrder,
        Registered,
        RegisterEvidence,
    )
    from activities.contracts.host import FindIntrudersOrder, Intruders, ProcessRef
    from activities.contracts.orders import Order
    from activities.contracts.response import CollectResult, CollectStart

from workflows.orders import Orders, give, reason_of


@workflow.defn
class CollectEvidenceWorkflow:
    """Freezes the flight recorder, collects volatile state, finishes the full-length capture."""

    @workflow.init
    def __init__(self, start: CollectStart) -> None:
        self._start = start
        self._orders = Orders(start.incident_id)
        self._items: list[CollectedItem] = []
        self._problems: list[str] = []

    @workflow.run
    async def run(self, start: CollectStart) -> CollectResult:  # noqa: ARG002 - kept by @workflow.init
        """Returns every item with its outcome; a collector that failed is in `problems`."""
        results = await asyncio.gather(self._volatile(), self._packets(), self._intruders())
        return CollectResult(items=tuple(self._items), intruders=results[2], problems=tuple(self._problems))

    async def _volatile(self) -> None:
        spec = self._start.forensics
        order = CollectVolatileOrder(
            header=self._orders.header(self._start.target),
            collect=spec.collect,
            budget_seconds=spec.budget_seconds,
        )
        await self._collect("collect_volatile", order, spec.budget_seconds + 30)

    async def _packets(self) -> None:
        seconds = self._start.forensics.capture_seconds
        freeze = FreezeOrder(header=self._orders.header(self._start.target), capture_seconds=seconds)
        await self._collect("freeze_recorder", freeze, 60)
        capture = CaptureOrder(header=self._orders.header(self._start.target), capture_seconds=seconds)
        await self._collect("finish_capture", capture, seconds + 60)

    async def _collect(self, verb: str, order: Order, seconds: float) -> None:
        try:
            collected = await give(self._start.target, verb, order, Collected, seconds=seconds)
            self._items.extend(collected.items)
            await self._register(collected)
        except FailureError as error:
            self._problems.append(f"{verb}: {reason_of(error)}")

    async def _register(self, collected: Collected) -> None:
        start = self._start
        await workflow.execute_activity(
            "register_evidence",
            RegisterEvidence(
                incident_id=start.incident_id,
                items=collected.items,
                collector=f"agent:{start.target.name}",
                attested=collected.attested_by == start.target.workload_id,
                authority=Authority(plan_hash=start.plan_hash),
                containment_state=start.containment_state,
            ),
            result_type=Registered,
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=10)),
        )

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
            self._problems.append(f"find_intruders: {reason_of(error)}")
            return ()
        if found.attested_by != start.target.workload_id:
            # What is named here may be ended: not on the word of somebody who merely reaches the queue.
            self._problems.append(f"find_intruders: {start.target.name} did not sign its answer")
            return ()
        return found.processes
