"""Agents that are not there or not themselves, and incidents that somebody ended: what can go on goes on."""

from temporalio.client import WorkflowExecutionStatus

from tests.workflows.case import Case
from tests.workflows.cast import playbook
from tests.workflows.history import kinds, scheduled
from tests.workflows.impatience import Impatient
from tests.workflows.waiting import eventually

# The shortest lease there is: it is renewed after 3.3 seconds.
SHORT = playbook(contain={"lease": {"ttl_seconds": 10, "max_seconds": 3600}})
COLLECTORS = {"collect_volatile", "freeze_recorder", "finish_capture", "find_intruders"}


async def test_without_an_agent_evidence_is_tried_and_containment_goes_on_until_somebody_gives_up(case: Case) -> None:
    await case.work(Impatient())
    await case.join("app", "db")
    await case.open()

    tried = await case.desk.until(lambda s: s.stage == "release")
    assert tried.targets[0].state == "applying"
    assert tried.targets[0].reason.endswith("Trying again.")
    assert case.desk.said("target-delayed")[0].startswith("web could not be isolated at once: ")
    await case.release()

    final = await case.finish()
    assert (final.status, final.targets[0].state, final.evidence) == ("closed", "failed", ())
    assert final.targets[0].reason.startswith("given up on request; last: ")
    assert {words.split(":")[0] for words in case.desk.said("forensics-problem")} == COLLECTORS
    assert {verb for _, verb in await scheduled(case.handle(".collect.web"))} == COLLECTORS
    assert final.report_uri


async def test_an_agent_that_comes_late_is_contained_by_the_one_that_goes_on_trying(case: Case) -> None:
    await case.work(Impatient())
    await case.join("app", "db")
    await case.open()
    await case.desk.until(lambda s: any(t.state == "applying" for t in s.targets))

    await case.join("web")

    await case.target("isolated", proven=True)
    assert case.web.applied == 1


async def test_an_agent_that_answers_nonsense_fails_its_order_and_nothing_else(case: Case) -> None:
    case.web.garbled = True
    await case.play()

    final = await case.finish()
    assert (final.status, final.targets[0].state) == ("closed", "failed")
    assert final.targets[0].reason.startswith("web answered isolate_host with something that is no Isolated: ")
    assert len(final.evidence) == 4


async def test_an_agent_that_comes_in_time_carries_the_waiting_order_out(case: Case) -> None:
    await case.play("app", "db")
    await case.desk.until(lambda s: s.stage == "contain")
    await case.join("web")

    await case.target("isolated")
    assert (case.web.applied, case.web.carried_out["isolate_host"]) == (1, 1)


async def test_a_witness_that_is_switched_off_does_not_spoil_the_proof_of_the_others(case: Case) -> None:
    await case.work(Impatient())
    await case.join("web", "db")
    await case.open()

    proof = (await case.target("isolated", proven=True)).proof
    assert proof is not None
    assert proof.verdict == "effective"
    assert {m.witness for m in proof.measurements if m.independent} == {case.hosts["db"].workload_id}


async def test_a_witness_that_takes_its_time_does_not_cost_the_lease(case: Case) -> None:
    answer = case.fakes["app"].hold_back("probe_peers")
    await case.play(playbook=SHORT)
    await case.target("isolated")

    await eventually(lambda: case.web.carried_out["renew_lease"] == 1)
    assert (await case.snapshot()).targets[0].proof is None
    answer.set()
    await case.target("isolated", proven=True)


async def test_a_lease_outlives_an_incident_that_somebody_ended(case: Case) -> None:
    handle = await case.play(playbook=SHORT)
    await case.target("isolated", proven=True)
    await handle.terminate("by mistake")

    child = case.handle(".contain.web")

    async def goes_on_though_nobody_hears() -> bool:
        happened = await kinds(child)
        unheard = "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED" in happened
        return unheard and happened.count("TIMER_STARTED") == 2

    await eventually(goes_on_though_nobody_hears)
    assert case.web.carried_out["renew_lease"] == 1
    assert (await child.describe()).status == WorkflowExecutionStatus.RUNNING
