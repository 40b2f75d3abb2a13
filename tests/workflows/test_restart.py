"""Processes that end in the middle: the incident ends the same, and every change is made once."""

import asyncio

from activities.contracts.incident import IncidentSnapshot
from tests.workflows.case import Case
from tests.workflows.cast import GATE, playbook
from tests.workflows.history import scheduled


def outline(snapshot: IncidentSnapshot) -> tuple[object, ...]:
    target = snapshot.targets[0]
    verdict = target.proof.verdict if target.proof else None
    return snapshot.status, target.state, target.restored, verdict, {e.name for e in snapshot.evidence}


async def carried_out(case: Case, verb: str) -> None:
    async with asyncio.timeout(10):
        while not case.web.carried_out[verb]:
            await asyncio.sleep(0.01)


async def test_a_worker_that_ends_between_apply_and_verify_changes_nothing(case: Case) -> None:
    answer = case.web.hold_back("isolate_host")
    worker = await case.work()
    await case.join(*case.hosts)
    handle = await case.open()
    await carried_out(case, "isolate_host")

    await worker.shutdown()
    answer.set()
    await case.work()
    await case.target("isolated", proven=True)
    await case.release()

    assert outline(await case.finish()) == (
        "closed",
        "released",
        True,
        "effective",
        {"ring.json", "full.json", "sockets.json", "processes.json"},
    )
    assert (case.web.applied, case.web.carried_out["isolate_host"]) == (1, 1)
    assert [verb for _, verb in await scheduled(handle)].count("isolate_host") == 1


async def test_a_worker_that_ends_while_people_decide_still_takes_the_decision(case: Case) -> None:
    worker = await case.work()
    await case.join(*case.hosts)
    await case.open(playbook=playbook(contain={"gate": GATE.model_dump()}))
    gate = await case.gate()

    await worker.shutdown()
    await case.work()
    await case.decide(gate)
    status = await case.target("isolated", proven=True)

    assert status.change is not None
    assert status.change.plan_hash == gate.gate.plan_hash
    assert case.web.applied == 1


async def test_an_agent_that_ends_before_it_answers_carries_the_same_order_out_again(case: Case) -> None:
    answer = case.web.hold_back("isolate_host")
    await case.work()
    [agent] = await case.join("web")
    await case.join("app", "db")
    handle = await case.open()
    await carried_out(case, "isolate_host")

    await agent.shutdown()
    answer.set()
    await case.join("web")
    status = await case.target("isolated", proven=True)

    assert status.state == "isolated"
    assert case.web.applied == 1
    assert case.web.carried_out["isolate_host"] == 2
    assert len({o.header.order_id for o in case.web.orders if o.header.order_id.endswith(".1")}) >= 1
    assert [verb for _, verb in await scheduled(handle)].count("isolate_host") == 1
