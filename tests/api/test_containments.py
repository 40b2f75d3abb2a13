"""Containments that a person asks for: plans, requests, and letting one target go."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from activities.contracts.incident import TargetStatus
from activities.contracts.response import PlanDocument, PlanStart
from activities.ledger.ledger import Ledger
from playbooks.change import PlatformChange, Setting
from playbooks.platform_intent import PlatformIntent
from segmentation.references import resolve_reference
from segmentation.workloads import Inventory
from tests.activities.ledger.making import record
from tests.api.temporal import FakeTemporal

Bearer = Callable[..., dict[str, str]]
POD = "k8s:prod/shop/pod/web-1"
SETTING = Setting(
    resource="pod/shop/web-1",
    attribute="labels",
    before={"app": "shop"},
    after={},
    words="relabel web-1",
    permissions=("patch pods",),
)


def planned(start: PlanStart) -> PlanDocument:
    """What PlanTargetWorkflow would answer for a pod."""
    change = PlatformChange(
        incident_id=start.intent.incident_id,
        target_id=start.target.workload_id,
        platform="kubernetes",
        mechanism="network-policy",
        settings=(SETTING,),
        lease_seconds=900,
        ends="open",
    )
    return PlanDocument(
        target=start.target,
        plan_hash=change.plan_hash,
        summary=change.summary,
        change=change,
        inverse=change.inverse(),
        already_standing=False,
        permissions=change.permissions,
    )


def held(ledger: Ledger, temporal: FakeTemporal, incident_id: str = "inc-1", state: str = "isolated") -> None:
    """An incident that holds the pod."""
    found = record(incident_id, 1, "isolated")
    pod = resolve_reference(POD, Inventory())
    status = TargetStatus.model_validate({"workload": pod, "state": state})
    snapshot = found.snapshot.model_copy(update={"targets": (status,)})
    ledger.incidents.record(found.model_copy(update={"snapshot": snapshot}))
    temporal.running.add(f"incident-{incident_id}")


async def test_a_plan_is_made_by_a_workflow_and_changes_nothing(
    http: httpx.AsyncClient, bearer: Bearer, temporal: FakeTemporal
) -> None:
    temporal.answers["PlanTargetWorkflow"] = planned

    answer = await http.post("/v1/plans", json={"target": POD}, headers=bearer("responder"))

    assert answer.status_code == 200
    document = answer.json()
    assert document["change"]["mechanism"] == "network-policy"
    assert document["inverse"]["settings"][0]["after"] == {"app": "shop"}
    assert document["permissions"] == ["patch pods"]
    started = temporal.started["PlanTargetWorkflow"]
    assert isinstance(started.intent, PlatformIntent)
    assert started.intent.incident_id.startswith("preview-")


@pytest.mark.parametrize(("method", "path"), [("post", "/v1/plans"), ("post", "/v1/containments")])
async def test_who_only_looks_asks_for_nothing(http: httpx.AsyncClient, bearer: Bearer, method: str, path: str) -> None:
    body: dict[str, Any] = {"target": POD, "targets": [POD], "reason": "x"}
    answer = await http.request(method, path, json=body, headers=bearer("viewer"))
    assert answer.status_code == 403


async def test_a_target_that_nobody_knows_is_a_clear_no(http: httpx.AsyncClient, bearer: Bearer) -> None:
    answer = await http.post("/v1/plans", json={"target": "nobody"}, headers=bearer("responder"))
    assert answer.status_code == 404
    assert "names no host that has joined" in answer.json()["detail"]
    assert "k8s:CLUSTER" in answer.json()["hint"]


async def test_what_the_planner_refuses_is_told_in_its_words(
    http: httpx.AsyncClient, bearer: Bearer, temporal: FakeTemporal
) -> None:
    temporal.refuses["PlanTargetWorkflow"] = ("permission-missing", "get pods in shop is not allowed.")

    answer = await http.post("/v1/plans", json={"target": POD}, headers=bearer("responder"))

    assert (answer.status_code, answer.json()["code"]) == (409, "permission-missing")
    assert answer.json()["detail"] == "get pods in shop is not allowed."


async def test_a_request_is_durable_and_names_who_asked(
    http: httpx.AsyncClient, bearer: Bearer, ledger: Ledger, woken: list[str]
) -> None:
    body = {"targets": [POD, "aws:123456789012/eu-west-1/role/app"], "reason": "beacons"}
    answer = await http.post("/v1/containments", json=body, headers=bearer("responder", name="ana"))

    assert answer.status_code == 202
    (batch,) = ledger.intake.pending()
    assert batch.incident_id == answer.json()["incident_id"]
    assert (batch.first.source, batch.first.signed) == ("user:ana", True)
    assert batch.first.alert.targets == tuple(body["targets"])
    assert batch.first.alert.message == "ana: beacons"
    assert woken == ["woken"]


async def test_asking_twice_for_the_same_joins_the_open_incident(http: httpx.AsyncClient, bearer: Bearer) -> None:
    who = bearer("responder")
    answers = [
        (await http.post("/v1/containments", json={"targets": targets, "reason": "x"}, headers=who)).json()
        for targets in ([POD, "k8s:prod/node/n1"], ["k8s:prod/node/n1", POD], [POD])
    ]
    assert answers[0]["incident_id"] == answers[1]["incident_id"] != answers[2]["incident_id"]


async def test_a_request_with_one_unknown_target_is_refused_whole(
    http: httpx.AsyncClient, bearer: Bearer, ledger: Ledger
) -> None:
    body = {"targets": [POD, "nobody"], "reason": "x"}
    answer = await http.post("/v1/containments", json=body, headers=bearer("responder"))
    assert answer.status_code == 404
    assert ledger.intake.pending() == []


@pytest.mark.parametrize("state", ["isolated", "applying"])
async def test_one_target_is_let_go_by_whoever_holds_it(
    http: httpx.AsyncClient, bearer: Bearer, ledger: Ledger, temporal: FakeTemporal, state: str
) -> None:
    held(ledger, temporal, state=state)

    answer = await http.post(
        "/v1/containments/release", json={"target": POD, "reason": "clean"}, headers=bearer("approver", name="bob")
    )

    assert answer.json() == {"incidents": ["inc-1"]}
    request = temporal.taken["incident-inc-1:release"].argument
    assert (request.actor, request.target_id) == ("user:bob", "k8s.prod.shop.pod.web-1")


async def test_letting_go_what_nobody_holds_is_a_conflict(
    http: httpx.AsyncClient, bearer: Bearer, ledger: Ledger, temporal: FakeTemporal
) -> None:
    held(ledger, temporal, state="released")
    answer = await http.post(
        "/v1/containments/release", json={"target": POD, "reason": "clean"}, headers=bearer("approver")
    )
    assert answer.status_code == 409
    assert answer.json()["detail"] == f"Nothing holds {POD}."


async def test_a_plan_of_nobody_who_answers_says_who_was_asked(
    http: httpx.AsyncClient, bearer: Bearer, temporal: FakeTemporal
) -> None:
    temporal.refuses["PlanTargetWorkflow"] = None
    answer = await http.post("/v1/plans", json={"target": POD}, headers=bearer("responder"))
    assert answer.status_code == 409
    assert "nobody on kubernetes.prod answered" in answer.json()["detail"]
