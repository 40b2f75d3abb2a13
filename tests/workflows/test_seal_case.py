"""Seals that are asked for, timestamps that come late, and a report about a case that could not be sealed."""

import itertools
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.contracts.custody import CaseVerdict, SealCase, SealRef, TimestampSeal, VerifyCase
from activities.contracts.incident import GateStatus, RenderReport, Report
from activities.evidence.errors import SignerUnusable, TimestampAway, VaultDenied
from activities.orders.interceptor import ErrorTranslation
from api.processes.sandbox import workflow_runner
from playbooks.gates import Decision, Gate, GateSpec, Verdict
from tests.activities.report.sample import snapshot
from workflows.aftermath import approvals
from workflows.post_mortem import PostMortemWorkflow
from workflows.seal_case import SealCaseWorkflow, TimestampSealWorkflow

AT = datetime(2031, 5, 1, 12, 0, tzinfo=UTC)


class Sealer:
    """The activities, and an authority that is away for a while."""

    def __init__(
        self, *, away_for: int = 0, timestamp: str = "pending", broken: bool = False, blind: bool = False
    ) -> None:
        self.away_for, self.timestamp, self.broken, self.blind = away_for, timestamp, broken, blind
        self.sealed: list[str] = []
        self.beats: list[timedelta | None] = []
        self.asked: list[datetime] = []
        self.rendered: list[RenderReport] = []
        self.documents = 0

    @property
    def activities(self) -> list[Any]:
        return [self.seal_case, self.timestamp_seal, self.verify_case, self.render_report]

    @activity.defn
    async def seal_case(self, request: SealCase) -> SealRef:
        if self.broken:
            raise SignerUnusable("KMS refused sign with alias/x: AccessDeniedException.")
        self.sealed.append(request.purpose)
        self.beats.append(activity.info().heartbeat_timeout)
        return self._ref(len(self.sealed), self.timestamp)

    @activity.defn
    async def timestamp_seal(self, request: TimestampSeal) -> SealRef:
        self.asked.append(activity.info().current_attempt_scheduled_time)
        if len(self.asked) <= self.away_for:
            raise TimestampAway("https://tsa.example does not answer.")
        return self._ref(request.number, "held")

    @activity.defn
    async def verify_case(self, request: VerifyCase) -> CaseVerdict:
        if self.blind:
            raise VaultDenied("The bucket evidence refuses us: AccessDenied.")
        return CaseVerdict(items=1, verified=1, ok=True)

    @activity.defn
    async def render_report(self, request: RenderReport) -> Report:
        self.rendered.append(request)
        return Report(uri="file:///vault/report.html", sha256="0" * 64, path="report.html")

    def _ref(self, number: int, timestamp: Any) -> SealRef:
        ref = SealRef(number=number, manifests=1, custody=2, keyid="0" * 64, sealed_at=AT, timestamp=timestamp)
        return ref.model_copy(update={"timestamp_at": AT}) if timestamp == "held" else ref


def worker(client: Client, sealer: Sealer, queue: str) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        workflows=[SealCaseWorkflow, TimestampSealWorkflow, PostMortemWorkflow],
        activities=sealer.activities,
        workflow_runner=workflow_runner(),
        interceptors=[ErrorTranslation()],
    )


async def seal(client: Client, incident_id: str, queue: str) -> SealRef:
    ref: SealRef = await client.execute_workflow(
        SealCaseWorkflow.run,
        SealCase(incident_id=incident_id, actor="user:ada", purpose="end of shift"),
        id=f"incident-{incident_id}.seal",
        task_queue=queue,
    )
    return ref


@pytest.fixture
def incident_id() -> str:
    return f"inc-{uuid.uuid4().hex[:8]}"


async def test_a_seal_waits_a_moment_for_its_timestamp(skipping: WorkflowEnvironment, incident_id: str) -> None:
    sealer = Sealer()
    async with worker(skipping.client, sealer, incident_id):
        ref = await seal(skipping.client, incident_id, incident_id)
    assert ref.timestamp == "held"
    assert sealer.sealed == ["end of shift"]


async def test_a_worker_that_dies_while_it_seals_is_not_waited_for(
    skipping: WorkflowEnvironment, incident_id: str
) -> None:
    """It beats every few seconds; a case of thousands of documents may take minutes."""
    sealer = Sealer(timestamp="none")
    async with worker(skipping.client, sealer, incident_id):
        await seal(skipping.client, incident_id, incident_id)
    assert sealer.beats == [timedelta(seconds=60)]


async def test_an_authority_that_is_away_holds_no_seal_up_and_is_asked_on(
    skipping: WorkflowEnvironment, incident_id: str
) -> None:
    sealer = Sealer(away_for=1_000)
    async with worker(skipping.client, sealer, incident_id):
        ref = await seal(skipping.client, incident_id, incident_id)
        stamping = skipping.client.get_workflow_handle(f"incident-{incident_id}.timestamp.1")
        state = (await stamping.describe()).status
    assert (ref.timestamp, state) == ("pending", WorkflowExecutionStatus.RUNNING)


async def stamp(client: Client, queue: str) -> SealRef:
    ref: SealRef = await client.execute_workflow(
        TimestampSealWorkflow.run,
        TimestampSeal(incident_id=queue, number=1),
        id=f"incident-{queue}.timestamp.1",
        task_queue=queue,
    )
    return ref


async def test_an_authority_that_is_away_for_a_day_is_asked_with_growing_pauses(
    skipping: WorkflowEnvironment, incident_id: str
) -> None:
    sealer = Sealer(away_for=15)
    async with worker(skipping.client, sealer, incident_id):
        assert (await stamp(skipping.client, incident_id)).timestamp == "held"
    pauses = [later - earlier for earlier, later in itertools.pairwise(sealer.asked)]
    assert pauses[0] < timedelta(minutes=1)
    assert timedelta(hours=5) < max(pauses) < timedelta(hours=7)
    assert sealer.asked[-1] - sealer.asked[0] > timedelta(hours=20)


async def test_without_an_authority_no_timestamp_is_waited_for(skipping: WorkflowEnvironment, incident_id: str) -> None:
    sealer = Sealer(timestamp="none")
    async with worker(skipping.client, sealer, incident_id):
        ref = await seal(skipping.client, incident_id, incident_id)
    assert (ref.timestamp, sealer.asked) == ("none", [])


async def test_a_timestamp_that_no_patience_would_bring_ends_the_waiting(
    skipping: WorkflowEnvironment, incident_id: str
) -> None:
    sealer = Sealer(away_for=1_000)
    async with worker(skipping.client, sealer, incident_id):
        with pytest.raises(WorkflowFailureError):
            await stamp(skipping.client, incident_id)
    assert timedelta(days=29) < sealer.asked[-1] - sealer.asked[0] < timedelta(days=31)


async def learn(client: Client, queue: str) -> Report:
    report: Report = await client.execute_workflow(
        PostMortemWorkflow.run, snapshot(incident_id=queue), id=f"incident-{queue}.learn", task_queue=queue
    )
    return report


async def test_the_report_names_the_seal_and_is_sealed_in_its_turn(
    skipping: WorkflowEnvironment, incident_id: str
) -> None:
    sealer = Sealer()
    async with worker(skipping.client, sealer, incident_id):
        report = await learn(skipping.client, incident_id)
    assert sealer.sealed == ["post-mortem", "the report"]
    assert [order.seal.number for order in sealer.rendered if order.seal] == [1]
    assert report.seal_problem == ""


async def test_a_case_that_can_not_be_verified_is_reported_on_and_says_so(
    skipping: WorkflowEnvironment, incident_id: str
) -> None:
    sealer = Sealer(blind=True)
    async with worker(skipping.client, sealer, incident_id):
        report = await learn(skipping.client, incident_id)
    assert report.uri
    assert report.evidence_failure.startswith("the evidence could not be verified: ")
    assert "AccessDenied" in report.evidence_failure
    assert sealer.sealed == ["post-mortem", "the report"]


async def test_a_case_that_can_not_be_sealed_is_reported_on_and_says_so(
    skipping: WorkflowEnvironment, incident_id: str
) -> None:
    async with worker(skipping.client, Sealer(broken=True), incident_id):
        report = await learn(skipping.client, incident_id)
    assert report.uri == "file:///vault/report.html"
    assert report.seal_problem == "KMS refused sign with alias/x: AccessDeniedException."


def status(gate_id: str, plan_hash: str, *decisions: tuple[str, Verdict]) -> GateStatus:
    decided = tuple(
        Decision(gate_id=gate_id, plan_hash=plan_hash, verdict=verdict, actor=actor, roles=("approver",))
        for actor, verdict in decisions
    )
    gate = Gate(
        gate_id=gate_id,
        incident_id="inc-1",
        question="Isolate it?",
        plan_hash=plan_hash,
        plan=(),
        spec=GateSpec(),
        requested_by="workflow",
        opened_at=AT,
        decisions=decided,
    )
    return GateStatus(gate=gate, workflow_id="incident-inc-1")


def test_a_collection_rests_on_who_approved_the_plan_of_its_target_and_on_nobody_else() -> None:
    mine, other = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    gates = (
        status("contain.web", mine, ("user:ana", "approve"), ("user:ben", "deny")),
        status("contain.db", other, ("user:cleo", "approve")),
        status("contain.group-2", other, ("user:dan", "approve")),
    )
    assert approvals(gates, mine) == ("contain.web/user:ana", "contain.group-2/user:dan")
    assert approvals((), None) == ()
