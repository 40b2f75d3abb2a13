"""The lease: renewed while the incident stands, ended by its rule, carried over by continue-as-new."""

import time
from datetime import timedelta

from temporalio.testing import WorkflowEnvironment

from tests.workflows.case import Case
from tests.workflows.cast import GATE, playbook

MINUTES = timedelta(minutes=1)


async def test_spike(long_case: Case, skipping: WorkflowEnvironment) -> None:
    t = time.monotonic()
    def lap(n):
        nonlocal t
        print(f"{n}: {time.monotonic()-t:.3f}"); t=time.monotonic()
    await long_case.play(playbook=playbook(contain={"lease": {"ttl_seconds": 900, "max_seconds": 3600}}))
    await long_case.target("isolated", proven=True); lap('proven')
    print(await skipping.get_current_time())
    await skipping.sleep(timedelta(minutes=6)); lap('6')
    print(await skipping.get_current_time())
    print(long_case.web.carried_out)
    await skipping.sleep(timedelta(minutes=60)); lap('60')
    print(long_case.web.carried_out)
    final = await long_case.finish(); lap('f')
    print(final.targets[0].state, long_case.web.carried_out, long_case.desk.kinds)
