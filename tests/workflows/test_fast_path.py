"""The fast path: the first workflow task orders the host, everything else comes after the cut."""

from itertools import takewhile

from tests.workflows.case import Case
from tests.workflows.history import scheduled
from tests.workflows.story import Story


def test_the_first_workflow_task_orders_the_isolation_and_no_other_activity(story: Story) -> None:
    first, rest = story.events[:4], story.events[4:]
    commands = list(takewhile(lambda e: e["kind"] != "ACTIVITY_TASK_STARTED", rest))
    ordered = [c for c in commands if c["kind"] == "ACTIVITY_TASK_SCHEDULED"]

    assert [e["kind"] for e in first] == [
        "WORKFLOW_EXECUTION_STARTED",
        "WORKFLOW_TASK_SCHEDULED",
        "WORKFLOW_TASK_STARTED",
        "WORKFLOW_TASK_COMPLETED",
    ]
    assert [(c["taskQueue"]["name"], c["activityType"]["name"]) for c in ordered] == [
        (story.hosts["web"].queue, "isolate_host")
    ]
    assert {c["kind"] for c in commands} <= {"ACTIVITY_TASK_SCHEDULED", "TIMER_STARTED"}


def test_the_first_workflow_task_comes_with_the_answer_to_the_start(story: Story) -> None:
    assert story.events[0]["eagerExecutionAccepted"]


def test_recording_waits_for_the_cut(story: Story) -> None:
    cut = [e["kind"] for e in story.events].index("ACTIVITY_TASK_COMPLETED")
    before = [e for e in story.events[:cut] if e["kind"] == "ACTIVITY_TASK_SCHEDULED"]

    assert [e["activityType"]["name"] for e in before] == ["isolate_host"]


async def test_recording_does_not_wait_for_a_host_that_is_silent(case: Case) -> None:
    case.web.hold_back("isolate_host")
    await case.play()

    snapshot = await case.desk.until(lambda s: s.stage == "contain")
    assert snapshot.targets == ()
    assert case.desk.kinds == ["alert-received", "triaged"]


def test_the_child_takes_the_isolation_over_and_orders_nothing_twice(story: Story) -> None:
    status = story.proven

    assert (story.web.applied, story.web.carried_out["isolate_host"]) == (1, 1)
    assert story.web.carried_out["observe_host"] == 0
    assert status.applied_at is not None
    assert status.lease_until is not None
    assert (status.lease_until - status.applied_at).total_seconds() == 900
    assert status.workflow_id.endswith(".contain.web-story")


def test_orders_are_sent_to_hosts_and_the_rest_to_the_control_queue(story: Story) -> None:
    queues = {queue for queue, _ in story.ordered}

    assert {queue: {verb for q, verb in story.ordered if q == queue} for queue in queues} == {
        story.hosts["web"].queue: {
            "isolate_host",
            "probe_lifeline",
            "release_host",
            "collect_volatile",
            "freeze_recorder",
            "finish_capture",
            "find_intruders",
        },
        story.hosts["app"].queue: {"probe_peers"},
        story.hosts["db"].queue: {"probe_peers"},
        story.control_queue: {
            "record_incident",
            "corroborate_alert",
            "register_evidence",
            "verify_case",
            "seal_case",
            "render_report",
        },
    }


async def test_a_rehearsal_orders_nothing_and_records_nothing(case: Case) -> None:
    handle = await case.play(rehearsal=True)
    await handle.result()

    assert await scheduled(handle) == []
    assert case.desk.calls == []
    assert case.web.carried_out.total() == 0
