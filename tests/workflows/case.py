"""One incident under test: its hosts' agents, the control worker, and what people say to it.

Everything between the fakes is the product's: codecs with keys, guard, journal, sandbox, Temporal itself.
"""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Interceptor, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.contracts.incident import (
    CloseRequest,
    DecisionRequest,
    GateStatus,
    IncidentSnapshot,
    ReleaseRequest,
    TargetStatus,
)
from activities.contracts.platform_evidence import evidence_queue
from activities.killswitch.verbs import PlatformKillswitch
from activities.orders.codec import agent_converter, control_converter
from activities.orders.interceptor import ErrorTranslation, OrderGuard
from activities.orders.journal import OrderJournal
from activities.orders.keys import public_bytes
from api.processes.dispatcher import workflow_id
from api.processes.sandbox import workflow_runner
from api.processes.worker import WORKFLOWS
from playbooks.gates import Decision, PlanHash, Role, Verdict
from tests.histories.keys import CONTROL, SEAL, host_key, public_host_key
from tests.workflows.cast import LAST_OCTET, incident_start, workload
from tests.workflows.control import Desk, FakeControl
from tests.workflows.network import FakeHost, Network
from tests.workflows.platforms import FakeCluster
from workflows.incident import IncidentWorkflow

# The SDK's own default hashes every loaded module, which takes seconds.
BUILD_ID = "tests"
# As in the product, but without loading our workflow modules anew for every run, which is a third of a test's time.
# The tests of restarts, the shared story and the replay of histories use the product's own.
SHARING = SandboxedWorkflowRunner(restrictions=workflow_runner().restrictions.with_passthrough_modules("workflows"))
Handle = WorkflowHandle[Any, Any]


class Case:
    """An incident with its hosts on one Temporal server; leave it, and its workers and workflows end."""

    def __init__(self, client: Client, folder: Path, mark: str, **labels: dict[str, str]) -> None:
        self.control = FakeControl()
        self.incident_id = f"inc-{mark}" if mark else "inc"
        self.queue = f"control-{mark}" if mark else "control"
        self.refusals: list[tuple[str, str, str]] = []
        self.network: Network = {}
        self.hosts = {name: workload(name, mark, **labels.get(name, {})) for name in LAST_OCTET}
        self.fakes = {name: FakeHost(host, self.network) for name, host in self.hosts.items()}
        self.client = with_converter(client, control_converter(SEAL, CONTROL, public_host_key))
        self._folder = folder
        self._closing = contextlib.AsyncExitStack()

    @property
    def web(self) -> FakeHost:
        """The host that the alert accuses."""
        return self.fakes["web"]

    @property
    def desk(self) -> Desk:
        """What reached the control activities."""
        return self.control.desk(self.incident_id)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._closing.aclose()

    async def end_workflows(self) -> None:
        """End what is open: a lease would go on being renewed while other tests run."""
        mine = f'TaskQueue = "{self.queue}" AND CloseTime is null'
        # Whoever would send another one after its child goes first.
        for kind in ("= 'IncidentWorkflow'", "!= 'IncidentWorkflow'"):
            async for execution in self.client.list_workflows(f"{mine} AND WorkflowType {kind}"):
                with contextlib.suppress(RPCError):  # it may have ended meanwhile
                    await self.client.get_workflow_handle(execution.id).terminate("the test is over")

    async def work(self, *interceptors: Interceptor, runner: SandboxedWorkflowRunner | None = None) -> Worker:
        """Start the control worker."""
        worker = Worker(
            self.client,
            task_queue=self.queue,
            workflows=WORKFLOWS,
            activities=self.control.activities,
            workflow_runner=runner or SHARING,
            interceptors=[ErrorTranslation(), *interceptors],
            build_id=BUILD_ID,
            # What a worker that ended leaves on its own queue waits for so long; the default is ten seconds.
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
        )
        await self._closing.enter_async_context(worker)
        return worker

    async def join(self, *names: str, key: Ed25519PrivateKey | None = None) -> list[Worker]:
        """Start agents: with the keys that control knows, or another one."""
        agents = []
        for name in names:
            host = self.hosts[name]
            journal = OrderJournal(self._folder / host.workload_id / "journal.db")
            self._closing.callback(journal.close)
            guard = OrderGuard(host.workload_id, journal, lambda *said: self.refusals.append(said))
            pinned = public_bytes(CONTROL.public_key())
            agent = Worker(
                with_converter(self.client, agent_converter(key or host_key(host.workload_id), pinned)),
                task_queue=host.queue,
                activities=self.fakes[name].activities,
                interceptors=[guard],
                build_id=BUILD_ID,
            )
            agents.append(await self._closing.enter_async_context(agent))
        return agents

    async def serve(self, cluster: FakeCluster, verbs: type[PlatformKillswitch] = PlatformKillswitch) -> None:
        """Start the worker of a platform."""
        executor = self._closing.enter_context(ThreadPoolExecutor(8))
        worker = Worker(
            self.client,
            task_queue=cluster.pod("any").queue,
            activities=verbs(cluster.open).activities,
            activity_executor=executor,
            interceptors=[ErrorTranslation()],
            build_id=BUILD_ID,
        )
        await self._closing.enter_async_context(worker)
        collector = Worker(
            self.client,
            task_queue=evidence_queue(cluster.pod("any")),
            activities=[cluster.collect_from_platform],
            activity_executor=executor,
            interceptors=[ErrorTranslation()],
            build_id=BUILD_ID,
        )
        await self._closing.enter_async_context(collector)

    async def play(self, *names: str, **changes: Any) -> Handle:
        """Start worker and agents (all unless named), then the incident."""
        await self.work()
        await self.join(*(names or self.hosts))
        return await self.open(**changes)

    async def open(self, **changes: Any) -> Handle:
        """Start the incident as the dispatcher does."""
        return await self.client.start_workflow(
            IncidentWorkflow.run,
            incident_start(self.incident_id, self.hosts, **changes),
            id=workflow_id(self.incident_id),
            task_queue=self.queue,
            request_eager_start=True,
        )

    def handle(self, suffix: str = "") -> Handle:
        """The incident, or one of its children: `.contain.web`."""
        for name, host in self.hosts.items():
            if suffix.endswith(f".{name}"):
                suffix = suffix.removesuffix(name) + host.workload_id
        return self.client.get_workflow_handle(workflow_id(self.incident_id) + suffix)

    async def target(self, state: str, *, proven: bool = False) -> TargetStatus:
        """Wait until the ledger has seen web in a state."""

        def found(snapshot: IncidentSnapshot) -> bool:
            return any(t.state == state and (t.proof is not None or not proven) for t in snapshot.targets)

        return (await self.desk.until(found)).targets[0]

    async def gate(self, outcome: str | None = None) -> GateStatus:
        """Wait for a gate."""
        snapshot = await self.desk.until(lambda s: any(g.outcome == outcome for g in s.gates))
        return next(g for g in snapshot.gates if g.outcome == outcome)

    async def decide(self, gate: GateStatus, verdict: Verdict = "approve", **changes: Any) -> GateStatus:
        """Send a decision: ana's, with the right role and hash, unless said otherwise."""
        decision = decision_on(gate, verdict=verdict, **changes)
        handle = self.client.get_workflow_handle(gate.workflow_id)
        answer: GateStatus = await handle.execute_update(
            "decide", DecisionRequest(decision=decision), result_type=GateStatus
        )
        return answer

    async def release(self, target_id: str | None = None) -> IncidentSnapshot:
        """Ask for the release of one target, or of every one."""
        request = ReleaseRequest(actor="ana", reason="the disk was imaged", target_id=target_id)
        answer: IncidentSnapshot = await self.handle().execute_update("release", request, result_type=IncidentSnapshot)
        return answer

    async def close(self) -> IncidentSnapshot:
        """Ask for the end of an incident in triage."""
        request = CloseRequest(actor="ana", reason="a scanner of ours")
        answer: IncidentSnapshot = await self.handle().execute_update("close", request, result_type=IncidentSnapshot)
        return answer

    async def snapshot(self) -> IncidentSnapshot:
        """The incident as its workflow sees it."""
        answer: IncidentSnapshot = await self.handle().query("snapshot", result_type=IncidentSnapshot)
        return answer

    async def finish(self, seconds: float = 20) -> IncidentSnapshot:
        """Wait for the end of the incident."""
        handle = self.client.get_workflow_handle(workflow_id(self.incident_id), result_type=IncidentSnapshot)
        final: IncidentSnapshot = await asyncio.wait_for(handle.result(), seconds)
        return final


class LongCase(Case):
    """An incident on a server on which hours pass in no time."""

    def __init__(self, environment: WorkflowEnvironment, folder: Path) -> None:
        super().__init__(environment.client, folder, "long")
        self._environment = environment

    async def let_pass(self, **duration: float) -> None:
        """Let time pass: `minutes=5`."""
        await self._environment.sleep(timedelta(**duration))


def decision_on(
    gate: GateStatus,
    *,
    verdict: Verdict = "approve",
    actor: str = "ana",
    roles: tuple[Role, ...] = ("approver",),
    plan_hash: PlanHash | None = None,
    gate_id: str | None = None,
) -> Decision:
    """A decision that counts, unless said otherwise."""
    return Decision(
        gate_id=gate_id or gate.gate.gate_id,
        plan_hash=plan_hash or gate.gate.plan_hash,
        verdict=verdict,
        actor=actor,
        roles=roles,
        reason="seen",
    )


def with_converter(client: Client, converter: Any) -> Client:
    """The same connection, another data converter."""
    config = client.config()
    config["data_converter"] = converter
    return Client(**config)
