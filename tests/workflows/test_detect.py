"""Detections by schedule: every run asks again, also after the first."""

from temporalio.client import Schedule, ScheduleActionStartWorkflow, ScheduleOverlapPolicy, ScheduleSpec, ScheduleState

from tests.workflows.case import Case
from tests.workflows.waiting import eventually
from workflows.detect import DetectWorkflow


async def test_each_run_of_a_schedule_detects(case: Case) -> None:
    await case.work()
    name = f"detect-{case.incident_id}"
    schedule = await case.client.create_schedule(
        name,
        Schedule(
            action=ScheduleActionStartWorkflow(DetectWorkflow.run, id=name, task_queue=case.queue),
            spec=ScheduleSpec(),
            state=ScheduleState(paused=True),
        ),
    )
    runs = case.control.detection_runs

    async def ran_again() -> bool:
        # A run is named after its second: one that comes in the same second as the last is left out.
        await schedule.trigger(overlap=ScheduleOverlapPolicy.SKIP)
        return len(runs) >= 3

    await eventually(ran_again)
    await schedule.delete()
    assert len({run.at for run in runs}) == len(runs)
