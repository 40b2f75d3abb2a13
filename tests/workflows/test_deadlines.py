"""Hours that pass: gates that nobody answers, a ledger that refuses."""

from typing import Any, Literal

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.ledger.errors import LedgerUnusable
from playbooks.playbook import Playbook
from tests.workflows.case import LongCase
from tests.workflows.cast import GATE, INTRUDER, playbook


def gated(on_deadline: Literal["deny", "proceed"], **more: Any) -> Playbook:
    gate = GATE.model_copy(update={"on_deadline": on_deadline})
    return playbook(contain={"gate": gate.model_dump()}, **more)


async def test_silence_denies_where_the_gate_says_so(long_case: LongCase) -> None:
    await long_case.play(playbook=gated("deny"))
    await long_case.gate()
    await long_case.let_pass(seconds=GATE.deadline_seconds - 30)
    assert (await long_case.snapshot()).gates[0].outcome is None
    await long_case.let_pass(seconds=31)

    final = await long_case.finish()
    assert final.targets[0].state == "denied"
    assert long_case.web.applied == 0
    assert [g.outcome for g in final.gates] == ["denied"]


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
    long_case.web.processes = (INTRUDER,)
    await long_case.play(playbook=playbook(remediate={"action": "kill-process-group", "gate": GATE.model_dump()}))
    await long_case.gate()
    await long_case.let_pass(seconds=GATE.deadline_seconds + 1)

    snapshot = await long_case.desk.until(lambda s: bool(s.remediation))
    assert snapshot.remediation == "denied: people or the deadline denied the repair"
    assert long_case.web.processes == (INTRUDER,)


async def test_a_ledger_that_refuses_for_good_is_asked_again_until_somebody_repairs_it(
    long_case: LongCase,
) -> None:
    refusal = LedgerUnusable("the schema is newer than this version")
    long_case.desk.troubles["record_incident"] = refusal
    await long_case.play()
    await long_case.let_pass(minutes=1)
    assert long_case.desk.calls.count("record_incident") > 3
    assert long_case.web.isolated

    del long_case.desk.troubles["record_incident"]
    await long_case.let_pass(seconds=11)
    await long_case.target("isolated", proven=True)
    assert long_case.desk.kinds[:3] == ["alert-received", "triaged", "isolation-applied"]
