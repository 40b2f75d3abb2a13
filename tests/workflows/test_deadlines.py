"""Hours that pass: gates that nobody answers, agents that never come, a ledger that refuses."""

from typing import Any, Literal

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.ledger.errors import LedgerUnusable
from playbooks.playbook import Playbook
from tests.workflows.case import LongCase
from tests.workflows.cast import GATE, playbook
from tests.workflows.history import scheduled


def gated(on_deadline: Literal["deny", "proceed"], **more: Any) -> Playbook:
    gate = GATE.model_copy(update={"on_deadline": on_deadline})
    return playbook(contain={"gate": gate.model_dump()}, **more)


async def test_silence_denies_where_the_gate_says_so(long_case: LongCase) -> None:
    await long_case.play(playbook=gated("deny"))
    gate = await long_case.gate()
    await long_case.let_pass(seconds=GATE.deadline_seconds - 30)
    assert (await long_case.snapshot()).gates[0].outcome is None
    await long_case.let_pass(seconds=31)

    final = await long_case.finish()
    assert final.targets[0].state == "denied"
    assert long_case.web.applied == 0
    assert [g.outcome for g in final.gates] == ["denied"]
    assert gate.gate.deadline == gate.gate.opened_at.replace() + (gate.gate.deadline - gate.gate.opened_at)


async def test_silence_proceeds_where_the_gate_says_so_and_later_denials_are_too_late(long_case: LongCase) -> None:
    await long_case.play(playbook=gated("proceed"))
    gate = await long_case.gate()
    await long_case.let_pass(seconds=GATE.deadline_seconds + 1)
    status = await long_case.target("isolated")

    assert status.change is not None
    assert status.change.plan_hash == gate.gate.plan_hash
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await long_case.decide(gate, "deny")
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "decision-refused"
    assert "is closed since" in caught.value.cause.message
    assert long_case.web.isolated


async def test_a_repair_that_nobody_decides_on_does_not_happen(long_case: LongCase) -> None:
    from tests.workflows.cast import INTRUDER

    long_case.web.processes = (INTRUDER,)
    await long_case.play(
        playbook=playbook(remediate={"action": "kill-process-group", "gate": GATE.model_dump()})
    )
    await long_case.gate()
    await long_case.let_pass(seconds=GATE.deadline_seconds + 1)

    snapshot = await long_case.desk.until(lambda s: bool(s.remediation))
    assert snapshot.remediation == "denied: people or the deadline denied the repair"
    assert long_case.web.processes == (INTRUDER,)


async def test_without_an_agent_containment_fails_evidence_is_tried_and_the_incident_says_so(
    long_case: LongCase,
) -> None:
    await long_case.play("app", "db")
    await long_case.let_pass(minutes=6)
    await long_case.desk.until(lambda s: s.stage == "forensics")
    await long_case.let_pass(minutes=12)

    final = await long_case.finish()
    assert (final.status, final.targets[0].state, final.evidence) == ("closed", "failed", ())
    assert long_case.desk.said("target-failed")[0].startswith("web could not be isolated: ")
    problems = long_case.desk.said("forensics-problem")
    assert {words.split(":")[0] for words in problems} == {
        "collect_volatile",
        "freeze_recorder",
        "finish_capture",
        "find_intruders",
    }
    tried = {verb for _, verb in await scheduled(long_case.handle(".collect.web"))}
    assert tried == {"collect_volatile", "freeze_recorder", "finish_capture", "find_intruders"}
    assert final.report_uri


async def test_an_agent_that_comes_in_time_carries_the_waiting_order_out(long_case: LongCase) -> None:
    await long_case.play("app", "db")
    await long_case.let_pass(minutes=4)
    await long_case.join("web")

    assert (await long_case.target("isolated", proven=True)).change is not None
    assert long_case.web.applied == 1


async def test_a_ledger_that_refuses_for_good_is_asked_again_until_somebody_repairs_it(
    long_case: LongCase,
) -> None:
    refusal = LedgerUnusable("the schema is newer than this version")
    long_case.desk.troubles["record_incident"] = refusal
    await long_case.play()
    await long_case.let_pass(minutes=10)
    assert long_case.desk.calls.count("record_incident") > 10
    assert long_case.web.isolated

    del long_case.desk.troubles["record_incident"]
    await long_case.let_pass(seconds=11)
    await long_case.target("isolated", proven=True)
    assert long_case.desk.kinds[:3] == ["alert-received", "triaged", "isolation-applied"]
