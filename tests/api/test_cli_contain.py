"""`firebreak contain`: plan, ask for, let go, as a person or a program sees it."""

import json

import pytest

from activities.ledger.ledger import Ledger
from tests.api.temporal import FakeTemporal
from tests.api.test_cli import Run, asked, run  # noqa: F401 - fixtures
from tests.api.test_containments import POD, held, planned


@pytest.fixture
def plans(temporal: FakeTemporal) -> None:
    temporal.answers["PlanTargetWorkflow"] = planned


@pytest.mark.usefixtures("plans")
def test_a_plan_is_told_step_by_step_with_the_way_back(asked: Run) -> None:  # noqa: F811
    result = asked("contain", "plan", POD)

    assert result.exit_code == 0
    assert "Plan for web-1 (pod)" in result.stdout
    assert "relabel web-1" in result.stdout
    assert "back: relabel web-1" in result.stdout
    assert "Needs: patch pods" in result.stdout
    assert "dry run says nothing against it" in result.stdout
    assert "sha256:" in result.stdout


@pytest.mark.usefixtures("plans")
def test_a_plan_is_one_document_for_programs(asked: Run) -> None:  # noqa: F811
    document = json.loads(asked("contain", "plan", POD, "--json").stdout)

    assert document["change"]["settings"][0]["resource"] == "pod/shop/web-1"
    assert document["plan_hash"].startswith("sha256:")


def test_asking_says_where_to_look(asked: Run, ledger: Ledger) -> None:  # noqa: F811
    result = asked("contain", "--on", POD, "--reason", "beacons", "--json")

    (batch,) = ledger.intake.pending()
    assert json.loads(result.stdout)["incident_id"] == batch.incident_id


def test_one_target_is_let_go(asked: Run, ledger: Ledger, temporal: FakeTemporal) -> None:  # noqa: F811
    held(ledger, temporal)

    result = asked("contain", "--off", POD, "--reason", "clean")

    assert result.exit_code == 0
    assert f"{POD} was let go by inc-1." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--on"),
        (("--on", POD, "--off", POD, "--reason", "x"), "--on"),
        (("--off", POD), "--reason"),
        (("--on", "nobody", "--reason", "x"), "names no host that has joined"),
        (("plan", "k8s:prod/shop"), "no reference into a cluster"),
    ],
)
def test_what_can_not_be_meant_is_said(asked: Run, arguments: tuple[str, ...], words: str) -> None:  # noqa: F811
    result = asked("contain", *arguments)

    assert result.exit_code != 0
    assert words in result.output


def test_nothing_is_asked_for_by_mistake(asked: Run, ledger: Ledger) -> None:  # noqa: F811
    asked("contain", "--on", POD)

    assert ledger.intake.pending() == []
