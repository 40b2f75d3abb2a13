"""Incidents that continued as new: what is kept of each is its last run, which began with what the one before knew."""

from unittest.mock import patch

from activities.contracts.incident import LeaseRenewed
from tests.histories.scenarios import Scenario, play
from tests.workflows.case import Case
from tests.workflows.cast import batch
from tests.workflows.waiting import eventually
from workflows import long_waits
from workflows.incident import IncidentWorkflow


async def _anew(case: Case, first: str | None) -> bool:
    return (await case.handle().describe()).run_id != first


async def held_long(case: Case) -> None:
    """The second run of an incident that continued as new; the holder of its lease was ended before its release."""
    first = (await play(case)).first_execution_run_id
    held = await case.desk.until(lambda s: s.waiting_for == "release by a person")
    renewed = LeaseRenewed(target_id=case.hosts["web"].workload_id, lease_until=held.targets[0].lease_until)

    with patch.object(long_waits, "NEWS_PER_RUN", 1):
        await case.handle().signal(IncidentWorkflow.lease_renewed, renewed)
        await eventually(lambda: _anew(case, first))
    await case.handle(".contain.web").terminate("by mistake")
    await case.release()
    await case.finish()


async def ledger_away(case: Case) -> None:
    """A ledger that was away while an incident in triage continued as new: the last run repeats the write under way."""
    first = (await play(case, targets=())).first_execution_run_id
    await case.desk.until(lambda s: s.stage == "triage")
    case.desk.troubles["record_incident"] = RuntimeError("the database is away")
    calls = len(case.desk.calls)
    with patch.object(long_waits, "NEWS_PER_RUN", 2), patch.object(long_waits, "NEWS_WHILE_WRITING", 1):
        await case.handle().signal(IncidentWorkflow.alerts, batch(2))
        await eventually(lambda: len(case.desk.calls) > calls)
        for place in (3, 4):
            await case.handle().signal(IncidentWorkflow.alerts, batch(place))
        await eventually(lambda: _anew(case, first))
    del case.desk.troubles["record_incident"]
    await case.close()
    await case.finish()


CONTINUING: tuple[Scenario, ...] = (held_long, ledger_away)
