"""Gates in workflows: what people see, what counts as a decision, what leaves no trace."""

from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.contracts.host import IsolateOrder
from activities.contracts.incident import GateStatus
from playbooks.gates import GateSpec
from playbooks.host_isolation import plan_isolation
from playbooks.playbook import Playbook
from tests.workflows.case import Case
from tests.workflows.cast import GATE, contain_start, host_intent, playbook
from tests.workflows.containing import ask
from tests.workflows.history import kinds, scheduled
from tests.workflows.waiting import eventually

OTHER_HASH = "sha256:" + "a" * 64


def gated(**changes: Any) -> Playbook:
    return playbook(contain={"gate": GATE.model_copy(update=changes).model_dump()})


async def refused(case: Case, gate: GateStatus, **decision: Any) -> ApplicationError:
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await case.decide(gate, **decision)
    assert isinstance(caught.value.cause, ApplicationError)
    return caught.value.cause


async def test_people_decide_on_the_plan_and_exactly_that_plan_is_applied(case: Case) -> None:
    await case.play(playbook=gated())
    gate = await case.gate()
    assert not case.web.isolated
    assert gate.gate.plan[0].startswith("drop all IPv4 and IPv6 traffic")

    answer = await case.decide(gate)
    status = await case.target("isolated", proven=True)

    assert answer.outcome == "approved"
    order = next(o for o in case.web.orders if isinstance(o, IsolateOrder))
    assert order.change is not None
    assert order.change.plan_hash == order.header.plan_hash == gate.gate.plan_hash
    assert status.change == order.change
    ours = [verb for queue, verb in await scheduled(case.handle(".contain.web")) if queue == case.web.workload.queue]
    assert ours[:2] == ["observe_host", "isolate_host"]
    life = [event for event in case.desk.timeline if event.kind in ("gate-opened", "decision", "gate-closed")]
    assert [event.kind for event in life] == ["gate-opened", "decision", "gate-closed"]
    assert (life[1].actor, life[1].details["verdict"]) == ("ana", "approve")


async def test_one_denial_ends_the_gate_and_evidence_is_collected_all_the_same(case: Case) -> None:
    await case.play(playbook=gated(quorum=2))
    await case.decide(await case.gate(), "deny")
    final = await case.finish()

    assert final.targets[0].state == "denied"
    assert case.web.applied == 0
    assert len(final.evidence) == 4
    assert final.stage == "closed"


async def test_a_quorum_is_of_different_people(case: Case) -> None:
    gate = await ask(case, GATE.model_copy(update={"quorum": 2}))

    first = await case.decide(gate, actor="ana")
    again = await refused(case, gate, actor="ana")
    second = await case.decide(gate, actor="ben")

    assert first.outcome is None
    assert (again.type, again.message) == ("decision-refused", "ana has decided on contain.web already.")
    assert second.outcome == "approved"
    handle = case.client.get_workflow_handle(gate.workflow_id)
    assert (await kinds(handle)).count("WORKFLOW_EXECUTION_UPDATE_ACCEPTED") == 2


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"plan_hash": OTHER_HASH}, f"The decision is for plan {OTHER_HASH}, the gate asks about"),
    ({"roles": ("viewer", "responder")}, "ana has the roles viewer, responder; the gate takes approver."),
    ({"gate_id": "contain.db"}, "There is no gate contain.db on this incident."),
    ({"actor": "ben"}, "ben requested this change and can't decide on it."),
]


async def test_a_refused_decision_says_why_and_leaves_no_trace(case: Case) -> None:
    gate = await ask(case, requested_by="ben")
    handle = case.client.get_workflow_handle(gate.workflow_id)
    before = await kinds(handle)

    for decision, reason in REFUSALS:
        refusal = await refused(case, gate, **decision)
        assert refusal.type == "decision-refused"
        assert refusal.message.startswith(reason)
        assert refusal.details[0]

    assert await kinds(handle) == before
    assert case.web.applied == 0


async def test_a_decision_after_the_outcome_is_too_late(case: Case) -> None:
    gate = await ask(case)
    await case.decide(gate, actor="ana")
    await eventually(lambda: case.web.isolated)

    refusal = await refused(case, gate, verdict="deny", actor="ben")

    assert refusal.message.startswith("Gate contain.web is closed")
    assert case.web.isolated


async def test_a_plan_that_the_host_has_outgrown_is_not_applied_but_asked_about_anew(case: Case) -> None:
    gate = await ask(case)
    case.web.devices += ("eth1",)

    await case.decide(gate)
    again = await asked_again(case, gate)

    assert case.web.applied == 0
    assert again.gate.plan_hash != gate.gate.plan_hash
    await case.decide(again)
    await eventually(lambda: case.web.isolated)


async def asked_again(case: Case, gate: GateStatus) -> GateStatus:
    """The second gate, once it is open, with the plan as web has it now."""
    await eventually(lambda: case.web.carried_out["observe_host"] > 1)
    intent = host_intent(contain_start(case.incident_id, case.hosts))
    change = plan_isolation(case.web.observation(), intent)
    second = gate.gate.model_copy(
        update={"gate_id": "contain.web.2", "plan_hash": change.plan_hash, "opened_at": datetime.now(UTC)}
    )
    handle = case.client.get_workflow_handle(gate.workflow_id)

    async def open_now() -> bool:
        return (await kinds(handle)).count("TIMER_STARTED") > 1

    await eventually(open_now)
    return gate.model_copy(update={"gate": second})


async def test_a_protected_target_needs_break_glass(case: Case) -> None:
    protecting = playbook(contain={"protected": {"app": ["shop"]}})
    await case.play(playbook=protecting)
    gate = await case.gate()
    assert "protected (app=shop)" in gate.gate.question
    assert case.web.applied == 0

    refusal = await refused(case, gate, roles=("approver", "admin"))
    answer = await case.decide(gate, roles=("break-glass",))

    assert refusal.message == "ana has the roles approver, admin; the gate takes break-glass."
    assert answer.outcome == "approved"
    assert (await case.target("isolated")).change is not None


async def test_more_targets_than_the_playbook_allows_are_one_decision(case: Case) -> None:
    targets = (case.hosts["web"], case.hosts["db"])
    await case.play(targets=targets)
    gate = (await case.gate()).gate

    assert gate.gate_id == "contain"
    assert "2 targets are more than the playbook's limit of 1" in gate.question
    assert gate.spec == GateSpec(roles=("approver", "admin"), deadline_seconds=3600)
    assert (case.web.applied, case.fakes["db"].applied) == (0, 0)
    assert len((await case.snapshot()).gates) == 1
