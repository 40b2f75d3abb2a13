from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from activities.contracts.incident import GateStatus
from activities.ledger.ledger import Ledger
from playbooks.gates import Escalation, Gate, GateSpec, Role, escalated
from tests.activities.ledger.making import START, alert, received, record
from tests.api.asking import Asking
from tests.api.conftest import PLAN_HASH
from tests.api.temporal import FakeTemporal

Bearer = Callable[..., dict[str, str]]


def decision(**changed: str) -> dict[str, str]:
    return {
        "gate_id": "remediate-web",
        "plan_hash": PLAN_HASH,
        "verdict": "approve",
        "reason": "Not ours.",
    } | changed


async def test_an_incident_is_shown_with_its_timeline(http: httpx.AsyncClient, ledger: Ledger, bearer: Bearer) -> None:
    ledger.incidents.record(record("inc-1", 1, "isolated", "proven"))
    answer = await http.get("/v1/incidents/inc-1", headers=bearer("viewer"))
    assert answer.status_code == 200
    assert answer.json()["stage"] == "contain"
    assert [event["summary"] for event in answer.json()["timeline"]] == ["isolated", "proven"]


async def test_an_incident_is_shown_before_its_workflow_began(
    http: httpx.AsyncClient, ledger: Ledger, bearer: Bearer
) -> None:
    accepted = ledger.intake.accept(received(alert("ghost")))
    answer = await http.get(f"/v1/incidents/{accepted.incident_id}", headers=bearer("viewer"))
    assert (answer.json()["stage"], answer.json()["targets"]) == ("detect", [])


async def test_the_list_is_filtered_and_paged(http: httpx.AsyncClient, ledger: Ledger, bearer: Bearer) -> None:
    for number in range(5):
        ledger.intake.accept(received(alert(f"host-{number}", severity=number * 20)))
    who = bearer("viewer")
    hosts: list[str] = []
    query: dict[str, str] = {"min_severity": "20", "limit": "3"}
    while True:
        page = (await http.get("/v1/incidents", params=query, headers=who)).json()
        hosts += [item["first_alert"]["alert"]["host"]["name"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert hosts == ["host-4", "host-3", "host-2", "host-1"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 422),
        ("limit=x", 422),
        ("stage=nowhere", 422),
        ("min_severity=101", 422),
        ("cursor=bm9wZQ", 400),
    ],
)
async def test_a_query_that_makes_no_sense_is_a_problem(
    http: httpx.AsyncClient, bearer: Bearer, query: str, status: int
) -> None:
    answer = await http.get(f"/v1/incidents?{query}", headers=bearer("viewer"))
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


@pytest.mark.parametrize("incident", ["inc-0", "%3Cscript%3E", "..%2F..", "a" * 300])
async def test_an_incident_that_is_not_there_is_a_problem(
    http: httpx.AsyncClient, bearer: Bearer, incident: str
) -> None:
    answer = await http.get(f"/v1/incidents/{incident}", headers=bearer("viewer"))
    assert answer.status_code in {404, 422}
    assert answer.headers["content-type"] == "application/problem+json"
    assert "<script" not in answer.text


async def test_a_decision_reaches_the_gates_workflow_with_its_actor(
    http: httpx.AsyncClient, gate: Gate, temporal: FakeTemporal, bearer: Bearer
) -> None:
    answer = await http.post("/v1/incidents/inc-1/decisions", json=decision(), headers=bearer("approver", name="alice"))
    assert (answer.status_code, answer.json()["status"]) == (200, "accepted")
    (taken,) = temporal.taken.values()
    assert (taken.workflow_id, taken.name) == ("incident-inc-1-remediate", "decide")
    assert taken.argument.decision.actor == "user:alice"
    assert taken.argument.decision.roles == ("viewer", "responder", "approver")


async def test_a_decision_that_is_sent_again_after_a_lost_answer_counts_once(
    http: httpx.AsyncClient, gate: Gate, temporal: FakeTemporal, bearer: Bearer
) -> None:
    who = bearer("approver")
    answers = [await http.post("/v1/incidents/inc-1/decisions", json=decision(), headers=who) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(temporal.gates["remediate-web"].decisions) == 1


async def test_a_decision_on_another_plan_is_refused_with_the_reason(
    http: httpx.AsyncClient, gate: Gate, bearer: Bearer
) -> None:
    other = decision(plan_hash="sha256:" + "00" * 32)
    answer = await http.post("/v1/incidents/inc-1/decisions", json=other, headers=bearer("approver"))
    assert (answer.status_code, answer.json()["code"]) == (409, "decision-refused")
    assert PLAN_HASH in answer.json()["detail"]
    assert answer.json()["hint"] == "Read the current plan and decide on its hash."


async def test_a_second_opinion_of_the_same_person_is_refused(
    http: httpx.AsyncClient, gate: Gate, bearer: Bearer
) -> None:
    who = bearer("approver")
    await http.post("/v1/incidents/inc-1/decisions", json=decision(), headers=who)
    answer = await http.post("/v1/incidents/inc-1/decisions", json=decision(verdict="deny"), headers=who)
    assert (answer.status_code, answer.json()["code"]) == (409, "decision-refused")
    assert "has decided on" in answer.json()["detail"]


@pytest.mark.parametrize("role", ["viewer", "responder", "break-glass"])
async def test_a_decision_without_the_gates_role_is_forbidden(
    http: httpx.AsyncClient, gate: Gate, temporal: FakeTemporal, bearer: Bearer, role: Role
) -> None:
    answer = await http.post("/v1/incidents/inc-1/decisions", json=decision(), headers=bearer(role))
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert temporal.taken == {}


@pytest.mark.parametrize(
    "body",
    [
        decision(actor="user:mallory"),
        decision(roles="admin"),
        decision(verdict="perhaps"),
        decision(plan_hash="9c"),
        {},
        [],
        "approve",
    ],
)
async def test_a_decision_of_another_form_is_refused(
    http: httpx.AsyncClient, gate: Gate, temporal: FakeTemporal, bearer: Bearer, body: object
) -> None:
    answer = await http.post("/v1/incidents/inc-1/decisions", json=body, headers=bearer("approver"))
    assert (answer.status_code, answer.json()["code"]) == (422, "body-invalid")
    assert temporal.taken == {}


async def test_a_gate_that_is_not_there_is_named_with_those_that_are(
    http: httpx.AsyncClient, gate: Gate, bearer: Bearer
) -> None:
    answer = await http.post(
        "/v1/incidents/inc-1/decisions", json=decision(gate_id="other"), headers=bearer("approver")
    )
    assert answer.status_code == 404
    assert "it has remediate-web" in answer.json()["detail"]


async def test_who_has_nothing_but_break_glass_reads_the_plan_and_decides_on_it(
    http: httpx.AsyncClient, ledger: Ledger, gate: Gate, temporal: FakeTemporal, bearer: Bearer
) -> None:
    glass = gate.model_copy(update={"spec": GateSpec(roles=("break-glass",))})
    status = GateStatus(gate=glass, workflow_id="incident-inc-1-remediate")
    ledger.incidents.record(record("inc-1", 2, "asked", gates=(status,)))
    temporal.gates[gate.gate_id] = glass
    who = bearer("break-glass", name="eve")

    shown = (await http.get("/v1/incidents/inc-1", headers=who)).json()["gates"][0]["gate"]
    assert shown["plan"] == list(gate.plan)
    refused = await http.post("/v1/incidents/inc-1/decisions", json=decision(reason=""), headers=who)
    assert (refused.status_code, refused.json()["code"]) == (409, "decision-refused")
    assert "without a written reason" in refused.json()["detail"]
    answer = await http.post("/v1/incidents/inc-1/decisions", json=decision(plan_hash=shown["plan_hash"]), headers=who)
    assert answer.status_code == 200, answer.text
    (made,) = temporal.gates[gate.gate_id].decisions
    assert (made.actor, made.roles) == ("user:eve", ("break-glass",))


async def test_after_an_escalation_the_same_answer_of_the_same_person_counts_anew(
    http: httpx.AsyncClient, ledger: Ledger, gate: Gate, temporal: FakeTemporal, bearer: Bearer
) -> None:
    who = bearer("admin", name="root")
    assert (await http.post("/v1/incidents/inc-1/decisions", json=decision(), headers=who)).status_code == 200
    asked = temporal.gates[gate.gate_id]
    spec = GateSpec(on_deadline="escalate", escalation=Escalation(roles=("admin",)), deadline_seconds=1, quorum=2)
    higher = escalated(asked.model_copy(update={"spec": spec}), START + timedelta(seconds=1))
    assert higher is not None
    temporal.gates[gate.gate_id] = higher
    status = GateStatus(gate=higher, workflow_id="incident-inc-1-remediate")
    ledger.incidents.record(record("inc-1", 2, "escalated", gates=(status,)))

    assert (await http.post("/v1/incidents/inc-1/decisions", json=decision(), headers=who)).status_code == 200
    assert [made.actor for made in temporal.gates[gate.gate_id].decisions] == ["user:root"]


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ({"down": True}, (503, "temporal-away")),
        ({"silent": True}, (503, "workflow-silent")),
        ({"running": set()}, (409, "workflow-ended")),
    ],
)
async def test_a_workflow_that_can_not_answer_is_a_problem_that_says_so(
    asking: Asking, gate: Gate, temporal: FakeTemporal, bearer: Bearer, state: dict[str, object], problem: Any
) -> None:
    for name, value in state.items():
        setattr(temporal, name, value)
    answer = await asking.http.post(
        "/v1/incidents/inc-1/release", json={"reason": "repaired"}, headers=bearer("approver")
    )
    assert (answer.status_code, answer.json()["code"]) == problem
    assert answer.json()["hint"]


@pytest.mark.parametrize(("verb", "role"), [("release", "approver"), ("close", "responder")])
async def test_release_and_close_reach_the_incidents_workflow(
    http: httpx.AsyncClient, gate: Gate, temporal: FakeTemporal, bearer: Bearer, verb: str, role: Role
) -> None:
    answer = await http.post(
        f"/v1/incidents/inc-1/{verb}", json={"reason": "repaired"}, headers=bearer(role, name="bob")
    )
    assert answer.status_code == 200
    (taken,) = temporal.taken.values()
    assert (taken.workflow_id, taken.name) == ("incident-inc-1", verb)
    assert (taken.argument.actor, taken.argument.reason) == ("user:bob", "repaired")


async def test_nothing_is_released_without_a_reason(http: httpx.AsyncClient, gate: Gate, bearer: Bearer) -> None:
    answer = await http.post("/v1/incidents/inc-1/release", json={"reason": ""}, headers=bearer("approver"))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/body/reason")
