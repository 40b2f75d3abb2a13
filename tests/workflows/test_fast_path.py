"""The fast path: the first workflow task orders the host, everything else comes after the cut."""

from itertools import takewhile

from tests.workflows.case import Case
from tests.workflows.history import events, kinds, scheduled


async def test_the_first_workflow_task_orders_the_isolation_and_no_other_activity(case: Case) -> None:
    handle = await case.play()
    await case.target("isolated")

    happened = await events(handle)
    commands = list(takewhile(lambda e: e["kind"] != "ACTIVITY_TASK_STARTED", happened[4:]))
    ordered = [c for c in commands if c["kind"] == "ACTIVITY_TASK_SCHEDULED"]
    assert [e["kind"] for e in happened[:4]] == [
        "WORKFLOW_EXECUTION_STARTED",
        "WORKFLOW_TASK_SCHEDULED",
        "WORKFLOW_TASK_STARTED",
        "WORKFLOW_TASK_COMPLETED",
    ]
    assert [(c["taskQueue"]["name"], c["activityType"]["name"]) for c in ordered] == [
        (case.hosts["web"].queue, "isolate_host")
    ]
    assert {c["kind"] for c in commands} <= {"ACTIVITY_TASK_SCHEDULED", "TIMER_STARTED"}


async def test_the_first_workflow_task_comes_with_the_answer_to_the_start(case: Case) -> None:
    handle = await case.play()
    await case.target("isolated")

    assert (await events(handle))[0]["eagerExecutionAccepted"]


async def test_recording_waits_for_the_cut(case: Case) -> None:
    handle = await case.play()
    await case.target("isolated")

    happened = await events(handle)
    cut = [e["kind"] for e in happened].index("ACTIVITY_TASK_COMPLETED")
    before = [e for e in happened[:cut] if e["kind"] == "ACTIVITY_TASK_SCHEDULED"]
    assert [e["activityType"]["name"] for e in before] == ["isolate_host"]


async def test_recording_does_not_wait_for_a_host_that_is_silent(case: Case) -> None:
    case.web.hold_back("isolate_host")
    await case.play()

    snapshot = await case.desk.until(lambda s: s.stage == "contain")
    assert snapshot.targets == ()
    assert case.desk.kinds == ["alert-received", "triaged"]


async def test_the_child_takes_the_isolation_over_and_orders_nothing_twice(case: Case) -> None:
    await case.play()
    status = await case.target("isolated")

    assert (case.web.applied, case.web.carried_out["isolate_host"]) == (1, 1)
    assert case.web.carried_out["observe_host"] == 0
    assert status.change is not None
    assert status.applied_at is not None
    assert status.lease_until is not None
    assert (status.lease_until - status.applied_at).total_seconds() == 900
    assert status.workflow_id == case.handle(".contain.web").id


async def test_an_incident_goes_through_every_stage_in_order(case: Case) -> None:
    handle = await case.play()
    await case.target("isolated", proven=True)
    await case.release()
    final = await case.finish()

    assert (final.stage, final.status, final.waiting_for) == ("closed", "closed", "")
    assert final.closed_at is not None
    assert final.report_uri == "file:///vault/report.html"
    # What a child says by signal may come while the incident has gone on to the next stage.
    stages = list(dict.fromkeys(event.stage for event in case.desk.timeline))
    assert stages == ["detect", "triage", "contain", "forensics", "release", "learn", "closed"]
    assert (await kinds(handle))[-1] == "WORKFLOW_EXECUTION_COMPLETED"


async def test_evidence_is_collected_and_registered_with_the_plan_as_authority(case: Case) -> None:
    await case.play()
    status = await case.target("isolated", proven=True)
    await case.desk.until(lambda s: len(s.evidence) == 4)

    assert status.change is not None
    assert {r.authority.plan_hash for r in case.desk.registered} <= {status.change.plan_hash, None}
    assert all(r.attested for r in case.desk.registered)
    assert {i.name for r in case.desk.registered for i in r.items} == {
        "ring.json",
        "full.json",
        "sockets.json",
        "processes.json",
    }


async def test_the_report_is_made_after_everything_has_reached_the_ledger(case: Case) -> None:
    await case.play()
    await case.target("isolated")
    await case.release()
    await case.finish()

    calls = case.desk.calls
    assert calls[-4:] == ["record_incident", "verify_case", "render_report", "record_incident"]
    rendered = case.desk.reported[0].snapshot
    assert rendered == next(r.snapshot for r in reversed(case.desk.records[:-1]))


async def test_orders_are_sent_to_hosts_and_the_rest_to_the_control_queue(case: Case) -> None:
    handle = await case.play()
    await case.target("isolated", proven=True)
    await case.release()
    await case.finish()

    children = (".contain.web", ".collect.web", ".learn")
    ordered = await scheduled(handle)
    for child in children:
        ordered += await scheduled(case.handle(child))
    by_queue = {queue: {verb for q, verb in ordered if q == queue} for queue, _ in ordered}
    assert by_queue == {
        case.hosts["web"].queue: {
            "isolate_host",
            "probe_lifeline",
            "release_host",
            "collect_volatile",
            "freeze_recorder",
            "finish_capture",
            "find_intruders",
        },
        case.hosts["app"].queue: {"probe_peers"},
        case.hosts["db"].queue: {"probe_peers"},
        case.queue: {
            "record_incident",
            "corroborate_alert",
            "register_evidence",
            "verify_case",
            "render_report",
        },
    }
