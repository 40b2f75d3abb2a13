"""What reaches the ledger: everything, once, in order."""

from activities.contracts.incident import AlertBatch
from tests.workflows.case import Case
from tests.workflows.cast import batch
from tests.workflows.story import Story
from tests.workflows.waiting import eventually
from workflows.incident import IncidentWorkflow


async def count(case: Case, *batches: AlertBatch) -> None:
    for alerts in batches:
        await case.handle().signal(IncidentWorkflow.alerts, alerts)


def test_every_write_has_the_next_number(story: Story) -> None:
    assert [r.sequence for r in story.desk.records] == list(range(1, len(story.desk.records) + 1))


def test_an_incident_goes_through_every_stage_in_order(story: Story) -> None:
    final = story.final
    assert (final.stage, final.status, final.waiting_for) == ("closed", "closed", "")
    assert final.closed_at is not None
    assert final.report_uri == "file:///vault/report.html"
    stages = list(dict.fromkeys(event.stage for event in story.desk.timeline))
    assert stages == ["detect", "triage", "contain", "forensics", "release", "learn", "closed"]
    assert story.events[-1]["kind"] == "WORKFLOW_EXECUTION_COMPLETED"


def test_the_timeline_is_told_once_and_in_order(story: Story) -> None:
    moments = [event.at for event in story.desk.timeline]
    assert moments == sorted(moments)
    for once in (
        "alert-received",
        "triaged",
        "isolation-applied",
        "corroborated",
        "target-released",
        "incident-closed",
    ):
        assert story.desk.kinds.count(once) == 1


def test_evidence_is_registered_with_the_plan_as_authority(story: Story) -> None:
    assert story.proven.change is not None
    assert {r.authority.plan_hash for r in story.desk.registered} <= {story.proven.change.plan_hash, None}
    assert all(r.attested for r in story.desk.registered)
    names = {"ring.json", "full.json", "sockets.json", "processes.json"}
    assert {i.name for r in story.desk.registered for i in r.items} == names
    assert {i.name for i in story.final.evidence} == names


def test_the_report_is_made_after_everything_has_reached_the_ledger(story: Story) -> None:
    calls = [call for call in story.desk.calls if call != "timestamp_seal"]  # it takes its own time
    assert calls[-6:] == [
        "record_incident",
        "verify_case",
        "seal_case",
        "render_report",
        "seal_case",
        "record_incident",
    ]
    last = story.desk.records[-2].snapshot
    assert last.waiting_for == "the report"
    # All that the ledger has, except that a report does not wait for itself.
    assert story.desk.reported[0].snapshot == last.model_copy(update={"waiting_for": ""})


async def test_each_alert_counts_once_however_often_it_is_handed_over(case: Case) -> None:
    await case.play(alerts=batch(3, 4))
    await case.target("isolated")

    await count(case, batch(5, 6), batch(5, 6), batch(6, 7), batch(3), batch(1, 2))
    await count(case, *(batch(*range(n, n + 100)) for n in range(8, 1008, 100)))
    await case.release()
    final = await case.finish()

    assert final.alerts == 1005
    assert case.desk.said("alerts-counted")[:2] == [
        "2 more of Repeated denied connections: 4 in all.",
        "1 more of Repeated denied connections: 5 in all.",
    ]
    assert case.web.carried_out["isolate_host"] == 1


async def test_alerts_that_come_before_the_first_task_are_counted_too(case: Case) -> None:
    await case.open()
    await count(case, batch(2, 3))
    await case.work()
    await case.join("web", "app", "db")
    await case.target("isolated")

    assert (await case.snapshot()).alerts == 3


async def test_a_ledger_that_is_away_loses_nothing(case: Case) -> None:
    case.desk.troubles["record_incident"] = RuntimeError("the database is away")
    await case.play()
    await eventually(lambda: case.desk.calls.count("record_incident") > 0)
    assert case.web.isolated

    del case.desk.troubles["record_incident"]
    await case.target("isolated", proven=True)
    await case.release()
    await case.finish()

    assert case.desk.kinds[:3] == ["alert-received", "triaged", "isolation-applied"]
    assert [r.sequence for r in case.desk.records] == list(range(1, len(case.desk.records) + 1))
