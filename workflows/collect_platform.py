"""Evidence of a target on a platform: what its cluster or account knows, and what its nodes' agents can capture.

Owns which worker and which agents are asked, and for how long. The platform's own worker collects; packets of a pod are
on its node's wire, so where that node has an agent, it is asked as a host is.
"""

import asyncio
import hashlib
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.contracts.collecting import CaptureOrder, FreezeOrder
    from activities.contracts.evidence import Acquisition, CollectedItem, Outcome, Source
    from activities.contracts.orders import Order
    from activities.contracts.platform_evidence import (
        CollectPlatformOrder,
        PlatformCollected,
        PodsOfNode,
        evidence_queue,
    )
    from activities.contracts.response import CollectStart
    from segmentation.bounds import cut
    from segmentation.workloads import Workload

from workflows.gathered import Gathered
from workflows.orders import COLLECTING_LIFE, Orders, collect_from, persist, read, reason_of

# Before it was found out, an intruder was there: events, logs and trails are asked for from so far back.
LOOK_BACK = timedelta(hours=24)
# A namespace may be on every node of a cluster.
MOST_NODES = 5
# By these labels an agent's host says which node it is, where that is not its name.
NODE_LABELS = ("node", "kubernetes.io-hostname")


class PlatformCollection:
    """One target of one incident."""

    def __init__(self, start: CollectStart, orders: Orders, gathered: Gathered) -> None:
        self._start, self._orders, self._gathered = start, orders, gathered
        self._since = workflow.now() - LOOK_BACK

    async def run(self) -> None:
        """The nodes are found first and captured while the rest is collected: packets are gone in a moment."""
        spec, target = self._start.forensics, self._start.target
        if target.kubernetes is None:
            await self._collect(self._order(aws=spec.aws))
            return
        rest = tuple(name for name in spec.kubernetes if name != "node-capture")
        tasks: list[Coroutine[Any, Any, object]] = []
        if rest:
            tasks.append(self._collect(self._order(kubernetes=rest)))
        if "node-capture" in spec.kubernetes:
            tasks.append(self._nodes())
        await asyncio.gather(*tasks)

    def _order(self, **collectors: object) -> CollectPlatformOrder:
        plain = CollectPlatformOrder(
            incident_id=self._start.incident_id,
            target=self._start.target,
            since=self._since,
            budget_seconds=self._start.forensics.budget_seconds,
        )
        return plain.model_copy(update=collectors)

    async def _collect(self, order: CollectPlatformOrder) -> tuple[PodsOfNode, ...]:
        target, budget = self._start.target, timedelta(seconds=order.budget_seconds)
        try:
            answer = await persist(
                "collect_from_platform",
                order,
                queue=evidence_queue(target),
                life=budget + COLLECTING_LIFE,
                repeated=lambda _: order,
            )
            collected = read(answer, target, "collect_from_platform", PlatformCollected)
            # What comes back is sealed with the control plane's own secret, which only its workers have.
            await self._gathered.register(collected.items, f"worker:{target.queue}", attested=True)
        except FailureError as error:
            self._gathered.problems.append(f"collect_from_platform: {reason_of(error)}")
            return ()
        return collected.nodes

    async def _nodes(self) -> None:
        nodes = await self._collect(self._order(kubernetes=("node-capture",)))
        for node in nodes[MOST_NODES:]:
            await self._missing(node, f"the capture is bounded to {MOST_NODES} nodes")
        await asyncio.gather(*(self._node(node) for node in nodes[:MOST_NODES]))

    async def _node(self, node: PodsOfNode) -> None:
        agents = [agent for agent in self._start.agents if _is_node(agent, node.node)]
        if not agents:
            why = "no host with an agent is called so, or labelled node=<its name>"
            await self._missing(node, why)
            return
        seconds = self._start.forensics.capture_seconds
        life = timedelta(seconds=seconds) + COLLECTING_LIFE
        freeze = FreezeOrder(header=self._orders.header(agents[0], life=life), capture_seconds=seconds)
        await self._ask_agent(agents[0], "freeze_recorder", freeze, 0)
        capture = CaptureOrder(header=self._orders.header(agents[0], life=life), capture_seconds=seconds)
        await self._ask_agent(agents[0], "finish_capture", capture, seconds)

    async def _ask_agent(self, agent: Workload, verb: str, order: Order, seconds: float) -> None:
        try:
            collected = await collect_from(agent, verb, order, seconds, self._orders)
            attested = collected.attested_by == agent.workload_id
            await self._gathered.register(collected.items, f"agent:{agent.name}", attested=attested, owner=agent)
        except FailureError as error:
            self._gathered.problems.append(f"{verb} on node {agent.name}: {reason_of(error)}")

    async def _missing(self, node: PodsOfNode, why: str) -> None:
        """Absence is evidence too."""
        target, now = self._start.target, workflow.now()
        mark = hashlib.sha256(f"{target.workload_id} {node.node}".encode()).hexdigest()[:12]
        addresses = ", ".join(map(str, node.addresses)) or "none known"
        reason = f"packets of {', '.join(node.pods) or node.node} ({addresses}) on node {node.node}: {why}"
        item = CollectedItem(
            evidence_id=f"{target.name[:40].rstrip('._-')}.node-packets-{mark}",
            kind="packets",
            name="packets.pcapng",
            media_type="application/x-pcapng",
            outcome=Outcome(state="missing", reason=cut(reason)),
            source=Source(
                kind="kubernetes",
                resource_id=target.workload_id,
                host=target.name,
                provider=target.kubernetes.cluster if target.kubernetes else "",
                reference=f"node/{node.node}",
            ),
            acquisition=Acquisition(tool="firebreak", started=now, ended=now),
            volatility_rank=1,
        )
        try:
            await self._gathered.register((item,), "workflow", attested=True)
        except FailureError as error:
            self._gathered.problems.append(f"packets on node {node.node}: {reason_of(error)}")


def _is_node(agent: Workload, node: str) -> bool:
    return agent.name == node or any(agent.labels.get(label) == node for label in NODE_LABELS)
