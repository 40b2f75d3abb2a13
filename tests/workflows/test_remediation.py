"""Repair: named processes, behind a gate, on a host that confirms it."""

from tests.workflows.case import Case
from tests.workflows.cast import INTRUDER, playbook

REPAIR = playbook(remediate={"action": "kill-process-group", "gate": {"roles": ["approver"]}})


async def test_people_decide_on_the_very_processes_that_end(case: Case) -> None:
    case.web.processes = (INTRUDER,)
    await case.play(playbook=REPAIR)
    gate = await case.gate()
    assert gate.gate.gate_id == "remediate.web"
    assert gate.gate.plan == ("SIGKILL process group 4711: pid 4711 () /opt/x -q ",)
    assert case.web.carried_out["kill_process_groups"] == 0

    await case.decide(gate)
    snapshot = await case.desk.until(lambda s: s.remediation.startswith("done"))

    assert snapshot.remediation == "done: ended pids 4711; no member is left"
    assert snapshot.intruders == (INTRUDER,)
    assert len(case.web.processes) == 0


async def test_a_denied_repair_ends_nothing(case: Case) -> None:
    case.web.processes = (INTRUDER,)
    await case.play(playbook=REPAIR)
    await case.decide(await case.gate(), "deny")
    snapshot = await case.desk.until(lambda s: bool(s.remediation))

    assert snapshot.remediation.startswith("denied")
    assert case.web.processes == (INTRUDER,)
    assert case.web.carried_out["kill_process_groups"] == 0


async def test_each_host_is_asked_to_end_its_own_intruders_only(case: Case) -> None:
    elsewhere = INTRUDER.model_copy(update={"pid": 99, "pgid": 99})
    case.web.processes, case.fakes["db"].processes = (INTRUDER,), (elsewhere,)
    targets = (case.hosts["web"], case.hosts["db"])
    wide = playbook(
        contain={"max_targets": 2, "lease": {"ttl_seconds": 900}},
        remediate={"action": "kill-process-group", "gate": {"roles": ["approver"]}},
    )
    await case.play(playbook=wide, targets=targets)

    await case.decide(await case.gate())
    gates = (await case.desk.until(lambda s: len(s.gates) == 2)).gates

    assert [len(g.gate.plan) for g in gates] == [1, 1]
    assert [fake.processes for fake in case.fakes.values()] == [(), (), (elsewhere,)]
