"""Somebody else who writes to Temporal: no start, no decision, no signal of theirs moves anything."""

import dataclasses
from collections.abc import Sequence

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import PayloadCodec

from activities.contracts.incident import DecisionRequest, IncidentSnapshot, ReleaseRequest
from activities.orders.codec import Seal, SealBroken, control_converter
from api.processes.dispatcher import workflow_id
from tests.histories.keys import CONTROL, SEAL, public_host_key
from tests.workflows.case import Case, Handle, decision_on, with_converter
from tests.workflows.cast import batch, incident_start
from tests.workflows.containing import ask
from tests.workflows.history import kinds, scheduled
from tests.workflows.waiting import eventually
from workflows.incident import IncidentWorkflow

FORGERS = {
    "without a seal": pydantic_data_converter,
    "with another seal": control_converter(Seal(b"guessed"), CONTROL, public_host_key),
}


class SealedFor(PayloadCodec):
    """Writes payloads with a genuine seal, taken from another workflow."""

    def __init__(self, workflow: str) -> None:
        self._workflow = workflow

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [SEAL.close(self._workflow, payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return list(payloads)


@pytest.fixture
def forgers(case: Case) -> list[Client]:
    return [with_converter(case.client, converter) for converter in FORGERS.values()]


async def test_an_incident_that_we_did_not_start_gives_no_order(case: Case, forgers: list[Client]) -> None:
    await case.work()
    await case.join(*case.hosts)
    for number, forger in enumerate(forgers):
        handle = await forger.start_workflow(
            IncidentWorkflow.run,
            incident_start(case.incident_id, case.hosts),
            id=f"{workflow_id(case.incident_id)}-{number}",
            task_queue=case.queue,
        )

        async def refused(handle: Handle = handle) -> bool:
            return "WORKFLOW_TASK_FAILED" in await kinds(handle)

        await eventually(refused)
        assert await scheduled(handle) == []
    assert sum(fake.carried_out.total() for fake in case.fakes.values()) == 0


async def test_a_decision_that_we_did_not_pass_on_counts_for_nothing(case: Case, forgers: list[Client]) -> None:
    gate = await ask(case)
    genuine = case.client.get_workflow_handle(gate.workflow_id)

    for forger in forgers:
        forged = forger.get_workflow_handle(gate.workflow_id)
        with pytest.raises(WorkflowUpdateFailedError):
            await forged.execute_update("decide", DecisionRequest(decision=decision_on(gate)))

    assert case.web.applied == 0
    assert "WORKFLOW_EXECUTION_UPDATE_ACCEPTED" not in await kinds(genuine)
    assert (await case.decide(gate)).outcome == "approved"
    await eventually(lambda: case.web.isolated)


async def test_a_release_that_we_did_not_ask_for_lets_nothing_go(case: Case, forgers: list[Client]) -> None:
    await case.play()
    await case.target("isolated", proven=True)
    request = ReleaseRequest(actor="mallory", reason="please")

    for forger in forgers:
        await forger.get_workflow_handle(case.handle(".contain.web").id).signal("release", request)
        with pytest.raises(WorkflowUpdateFailedError):
            await forger.get_workflow_handle(case.handle().id).execute_update("release", request)

    assert (await case.snapshot()).targets[0].state == "isolated"
    assert case.web.isolated
    with pytest.raises(SealBroken, match="was not written by this control plane"):
        await forgers[1].get_workflow_handle(case.handle().id).query("snapshot", result_type=IncidentSnapshot)
    # The genuine one still gets through: what was forged has not stopped anything.
    answer = await case.release()
    assert answer.targets[0].state == "released"


async def test_forged_signals_are_dropped_and_the_incident_goes_on(case: Case, forgers: list[Client]) -> None:
    handle = await case.play()
    status = await case.target("isolated")

    for forger in forgers:
        forged = forger.get_workflow_handle(handle.id)
        await forged.signal(IncidentWorkflow.alerts, batch(2, 3))
        await forged.signal("target_changed", status.model_copy(update={"state": "released"}))
    await case.release()
    final = await case.finish()

    assert final.alerts == 1
    assert final.targets[0].restored is True


async def test_what_was_sealed_for_the_incident_does_not_open_its_child(case: Case) -> None:
    gate = await ask(case)
    codec = SealedFor(workflow_id(case.incident_id))
    moved = with_converter(case.client, dataclasses.replace(pydantic_data_converter, payload_codec=codec))

    with pytest.raises(WorkflowUpdateFailedError):
        await moved.get_workflow_handle(gate.workflow_id).execute_update(
            "decide", DecisionRequest(decision=decision_on(gate))
        )

    assert case.web.applied == 0
