import asyncio
from temporalio.contrib.pydantic import pydantic_data_converter
from tests.workflows.case import Case, decision_on, with_converter
from tests.workflows.cast import GATE, playbook, incident_start, batch
from tests.workflows.history import events, kinds, scheduled
from workflows.incident import IncidentWorkflow
from activities.contracts.incident import DecisionRequest, GateStatus

async def test_plain_update(case: Case) -> None:
    handle = await case.play(playbook=playbook(contain={"gate": GATE.model_dump()}))
    gate = await case.gate()
    plain = with_converter(case.client, pydantic_data_converter)
    h = plain.get_workflow_handle(gate.workflow_id)
    try:
        await asyncio.wait_for(h.execute_update("decide", DecisionRequest(decision=decision_on(gate))), 3)
    except BaseException as e:
        print("UPDATE", repr(e), repr(e.__cause__))
    print(await kinds(handle)); print(await kinds(case.handle(".contain.web")))
    print((await asyncio.wait_for(case.decide(gate), 20)).outcome)
    await case.target("isolated")
    print(await kinds(case.handle(".contain.web")))

async def test_plain_signal(case: Case) -> None:
    handle = await case.play()
    await case.target("isolated")
    plain = with_converter(case.client, pydantic_data_converter)
    h = plain.get_workflow_handle(handle.id)
    await h.signal("alerts", batch(2,3))
    await asyncio.sleep(2)
    print(await kinds(handle))
    try:
        print((await asyncio.wait_for(case.release(),5)))
    except BaseException as e:
        print("RELEASE", repr(e))
    print(await kinds(handle))

async def test_plain_start(case: Case) -> None:
    await case.work(); await case.join("web")
    plain = with_converter(case.client, pydantic_data_converter)
    h = await plain.start_workflow(IncidentWorkflow.run, incident_start(case.incident_id, case.hosts), id="incident-x"+case.incident_id, task_queue=case.queue)
    await asyncio.sleep(1)
    print(await kinds(h), case.web.carried_out)
