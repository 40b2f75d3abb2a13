"""Processes that end in the middle: the incident ends the same, and every change is made once."""

from activities.contracts.host import IsolateOrder
from activities.contracts.incident import IncidentSnapshot
from api.processes.sandbox import workflow_runner
from tests.workflows.case import Case
from tests.workflows.cast import GATE, playbook
from tests.workflows.history import scheduled
from tests.workflows.waiting import eventually


def outline(snapshot: IncidentSnapshot) -> tuple[object, ...]:
    target = snapshot.targets[0]
    verdict = target.proof.verdict if target.proof else None
    return snapshot.status, target.state, target.restored, verdict, {e.name for e in snapshot.evidence}


async def test_a_worker_that_ends_between_apply_and_verify_changes_nothing(case: Case) -> None:
    answer = case.web.hold_back("isolate_host")
    worker = await case.work(runner=workflow_runner())
    await case.join(*case.hosts)
    handle = await case.open()
    await eventually(lambda: case.web.isolated)

    await worker.shutdown()
    answer.set()
    await case.work(runner=workflow_runner())
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
    worker = await case.work(runner=workflow_runner())
    await case.join(*case.hosts)
    await case.open(playbook=playbook(contain={"gate": GATE.model_dump()}))
    gate = await case.gate()
    # Quiet first: a task that Temporal hands to a worker while it ends is lost for ten seconds.
    await case.desk.until(lambda s: len(s.evidence) == 4)

    await worker.shutdown()
    await case.work(runner=workflow_runner())
    await case.decide(gate)
    status = await case.target("isolated", proven=True)

    assert status.change is not None
    assert status.change.plan_hash == gate.gate.plan_hash
    assert case.web.applied == 1


async def test_an_agent_that_ends_before_it_answers_carries_the_same_order_out_again(case: Case) -> None:
    answer = case.web.hold_back("isolate_host")
    await case.work(runner=workflow_runner())
    [agent] = await case.join("web")
    await case.join("app", "db")
    handle = await case.open()
    await eventually(lambda: case.web.isolated)

    await agent.shutdown()
    answer.set()
    await case.join("web")
    status = await case.target("isolated", proven=True)

    assert status.state == "isolated"
    assert case.web.applied == 1
    assert case.web.carried_out["isolate_host"] == 2
    isolations = [o.header for o in case.web.orders if isinstance(o, IsolateOrder)]
    assert isolations[0] == isolations[1]
    assert [verb for _, verb in await scheduled(handle)].count("isolate_host") == 1
