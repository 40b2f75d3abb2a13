"""Deadlines of gates inside a workflow: who is asked next, what is announced, and that a stop keeps silence shut."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.contracts.incident import DecisionRequest, GateStatus
from playbooks.gates import Escalation, Gate, GateSpec
from tests.workflows.asking import Answer, AskWorkflow, Question
from tests.workflows.case import BUILD_ID, SHARING, decision_on

HIGHER = Escalation(roles=("admin",), deadline_seconds=60)
ESCALATES = GateSpec(quorum=2, deadline_seconds=100, on_deadline="escalate", escalation=HIGHER)
PROCEEDS = GateSpec(deadline_seconds=100, on_deadline="proceed")
STOPPED = "the global stop is on since 2031-05-01 12:00:00 UTC by user:ana: the SIEM errs"
GATE = Gate(
    gate_id="contain.web",
    incident_id="inc",
    question="Isolate web?",
    plan_hash="sha256:" + "0" * 64,
    plan=("drop everything",),
    spec=ESCALATES,
    requested_by="workflow",
    opened_at=datetime(2031, 5, 1, tzinfo=UTC),
)


class Asking:
    """Gates on a server on which hours pass in no time."""

    def __init__(self, environment: WorkflowEnvironment, queue: str) -> None:
        self._environment, self._queue = environment, queue

    async def ask(self, spec: GateSpec, restraint: str = "") -> WorkflowHandle[Any, Answer]:
        question = Question(gate=GATE.model_copy(update={"spec": spec}), restraint=restraint)
        return await self._environment.client.start_workflow(
            AskWorkflow.run, question, id=f"ask-{uuid.uuid4()}", task_queue=self._queue
        )

    async def let_pass(self, seconds: float) -> None:
        await self._environment.sleep(timedelta(seconds=seconds))


@pytest.fixture
async def asking(skipping: WorkflowEnvironment) -> AsyncIterator[Asking]:
    queue = f"ask-{uuid.uuid4().hex[:8]}"
    async with Worker(
        skipping.client, task_queue=queue, workflows=[AskWorkflow], workflow_runner=SHARING, build_id=BUILD_ID
    ):
        yield Asking(skipping, queue)


async def say(handle: WorkflowHandle[Any, Answer], actor: str, *roles: Any, verdict: Any = "approve") -> GateStatus:
    shown = GateStatus(gate=GATE, workflow_id=handle.id)
    decision = decision_on(shown, actor=actor, roles=roles, verdict=verdict)
    return await handle.execute_update(AskWorkflow.decide, DecisionRequest(decision=decision))


async def test_others_are_asked_when_the_deadline_passes_and_the_announcement_says_so(asking: Asking) -> None:
    handle = await asking.ask(ESCALATES)
    await say(handle, "ana", "approver")
    await asking.let_pass(101)
    taken = await say(handle, "root", "admin")
    answer = await handle.result()

    assert taken.outcome == answer.outcome == "approved"
    opened, decided, escalated, again, closed = answer.announced
    assert (opened.gate.escalated_at, decided.gate.escalated_at) == (None, None)
    assert escalated.gate.escalated_at == escalated.gate.opened_at + timedelta(seconds=100)
    assert "Escalated: 1 of 2 approvals by approver came within 100 s." in escalated.gate.question
    assert (escalated.gate.spec.roles, escalated.outcome) == (("admin",), None)
    assert [made.actor for made in escalated.gate.earlier] == ["ana"]
    assert [made.actor for made in again.gate.decisions] == ["root"]
    assert closed.outcome == "approved"


async def test_whose_turn_is_over_is_refused_after_the_escalation(asking: Asking) -> None:
    handle = await asking.ask(ESCALATES)
    await asking.let_pass(101)

    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await say(handle, "ben", "approver")

    assert isinstance(refused.value.cause, ApplicationError)
    assert refused.value.cause.message == "ben has the roles approver; the gate takes admin."


async def test_silence_of_both_ends_as_the_escalation_says(asking: Asking) -> None:
    lenient = HIGHER.model_copy(update={"on_deadline": "proceed"})
    denied = await (await asking.ask(ESCALATES)).result()
    approved = await (await asking.ask(ESCALATES.model_copy(update={"escalation": lenient}))).result()

    assert (denied.outcome, approved.outcome) == ("denied", "approved")
    assert [status.outcome for status in denied.announced] == [None, None, "denied"]
    assert (denied.asked, approved.asked) == (0, 1)


async def test_a_quorum_in_time_is_never_escalated(asking: Asking) -> None:
    handle = await asking.ask(ESCALATES)
    await say(handle, "ana", "approver")
    await say(handle, "ben", "approver")
    answer = await handle.result()

    assert answer.outcome == "approved"
    assert all(status.gate.escalated_at is None for status in answer.announced)


async def test_silence_opens_no_gate_while_something_restrains_it(asking: Asking) -> None:
    answer = await (await asking.ask(PROCEEDS, STOPPED)).result()

    assert (answer.outcome, answer.restrained_by, answer.asked) == ("denied", STOPPED, 1)
    assert answer.announced[-1].outcome == "denied"


async def test_people_open_a_gate_whatever_restrains_silence(asking: Asking) -> None:
    handle = await asking.ask(PROCEEDS, STOPPED)
    await say(handle, "ana", "approver")
    answer = await handle.result()

    assert (answer.outcome, answer.asked) == ("approved", 0)


async def test_without_a_restraint_silence_opens_the_gate_as_it_says(asking: Asking) -> None:
    answer = await (await asking.ask(PROCEEDS)).result()

    assert (answer.outcome, answer.restrained_by) == ("approved", "")
