import asyncio
from datetime import timedelta
from temporalio.client import *
from tests.workflows.case import Case
from tests.workflows.history import kinds
from workflows.detect import DetectWorkflow

async def test_schedule(case: Case) -> None:
    await case.work()
    await case.client.create_schedule("detect-s", Schedule(action=ScheduleActionStartWorkflow(DetectWorkflow.run, id="detect-s", task_queue=case.queue),
       spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(seconds=1))]), policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP)))
    await asyncio.sleep(4)
    print(case.control.detection_runs)
    async for w in case.client.list_workflows(f'TaskQueue="{case.queue}"'):
        print(w.id, w.status, await kinds(case.client.get_workflow_handle(w.id)))
    await case.client.get_schedule_handle("detect-s").delete()
