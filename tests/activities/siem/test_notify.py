"""Every event of an incident is a document in the SIEM, once, and never at the incident's cost."""

from datetime import timedelta

import pytest
from elasticsearch import Elasticsearch
from structlog.testing import capture_logs

from activities.contracts.incident import IncidentEvent, IncidentSnapshot
from activities.siem.client import siem_client
from activities.siem.notify import MAX_EVENTS, ship_events
from activities.siem.templates import INCIDENTS
from playbooks.alerts import Alert, ReceivedAlert, Rule
from tests.activities.siem.conftest import NOW


@pytest.fixture
def snapshot() -> IncidentSnapshot:
    received = ReceivedAlert(
        webhook_id="w-1",
        source="generic",
        signed=True,
        received_at=NOW,
        alert=Alert(rule=Rule(name="A rule")),
    )
    return IncidentSnapshot(
        incident_id="inc-1",
        correlation_key="host:web",
        title="A rule",
        stage="contain",
        severity=73,
        playbook="lateral-movement",
        alerts=1,
        first_alert=received,
        opened_at=NOW,
        updated_at=NOW,
    )


def event(number: int = 0, actor: str = "workflow", **details: str | int) -> IncidentEvent:
    return IncidentEvent(
        at=NOW + timedelta(milliseconds=number),
        stage="contain",
        kind="decision",
        actor=actor,
        summary=f"Line {number}",
        details=dict(details),
    )


def test_events_are_written_as_ecs_documents(siem: Elasticsearch, snapshot: IncidentSnapshot) -> None:
    assert ship_events(siem, snapshot, [event(1, "user:ada", plan_hash="sha256:00"), event(2, count=3)]) == 2

    siem.indices.refresh(index=INCIDENTS)
    hits = siem.search(index=INCIDENTS, query={"term": {"user.name": "ada"}})["hits"]["hits"]
    (written,) = (hit["_source"] for hit in hits)
    assert written["@timestamp"] == "2031-05-01T12:00:00.001000+00:00"
    assert written["event"]["action"] == "decision"
    assert written["firebreak"]["incident_id"] == "inc-1"
    assert written["firebreak"]["details"] == {"plan_hash": "sha256:00"}
    assert written["ocsf"]["class_uid"] == 2005


def test_an_event_that_is_shipped_twice_is_one_document(siem: Elasticsearch, snapshot: IncidentSnapshot) -> None:
    assert ship_events(siem, snapshot, [event(1)]) == 1
    assert ship_events(siem, snapshot, [event(1), event(2)]) == 2

    siem.indices.refresh(index=INCIDENTS)
    assert siem.count(index=INCIDENTS)["count"] == 2


def test_details_of_one_name_and_different_types_are_both_kept(siem: Elasticsearch, snapshot: IncidentSnapshot) -> None:
    assert ship_events(siem, snapshot, [event(1, items=3), event(2, items="three")]) == 2


def test_a_siem_that_is_away_costs_a_warning_and_nothing_else(snapshot: IncidentSnapshot) -> None:
    with siem_client("http://127.0.0.1:9") as nobody, capture_logs() as logs:
        assert ship_events(nobody, snapshot, [event(1)]) == 0

    assert [(line["event"], line["incident_id"]) for line in logs] == [("the SIEM did not take events", "inc-1")]


def test_events_that_the_siem_refuses_are_counted_out(siem: Elasticsearch, snapshot: IncidentSnapshot) -> None:
    siem.indices.create(index="narrow", mappings={"properties": {"message": {"type": "integer"}}})

    with capture_logs() as logs:
        assert ship_events(siem, snapshot, [event(1)], index="narrow") == 0

    assert logs[0]["missing"] == 1


def test_more_events_than_the_bound_are_cut_off_and_told(siem: Elasticsearch, snapshot: IncidentSnapshot) -> None:
    with capture_logs() as logs:
        assert ship_events(siem, snapshot, [event(n) for n in range(MAX_EVENTS + 3)]) == MAX_EVENTS

    assert logs[0]["missing"] == 3


def test_without_a_siem_or_without_events_nothing_is_shipped(siem: Elasticsearch, snapshot: IncidentSnapshot) -> None:
    assert ship_events(None, snapshot, [event(1)]) == 0
    assert ship_events(siem, snapshot, []) == 0
