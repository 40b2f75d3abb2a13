"""An incident that is held for long: it continues as new, says little about renewals, and forgets nothing."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.contracts.incident import LeaseRenewed
from tests.workflows.case import Case, LongCase
from tests.workflows.cast import GATE, batch, playbook
from tests.workflows.history import events
from tests.workflows.waiting import eventually
from workflows import long_waits

DAY = playbook(contain={"lease": {"ttl_seconds": 900, "max_seconds": 86400}})
TWO = playbook(contain={"max_targets": 2})
TERM = timedelta(minutes=15)


@pytest.fixture
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The incident continues as new after every third signal."""
    monkeypatch.setattr(long_waits, "NEWS_PER_RUN", 3)


async def renew(case: Case, until: datetime, name: str = "web") -> None:
    """Tell the incident of a lease as its child does."""
    renewed = LeaseRenewed(target_id=case.hosts[name].workload_id, lease_until=until)
    await case.handle().signal("lease_renewed", renewed)


async def test_an_incident_whose_lease_is_renewed_for_hours_continues_as_new_and_can_still_be_released(
    long_case: LongCase, short_runs: None
) -> None:
    first = (await long_case.play(playbook=DAY)).first_execution_run_id
    await long_case.desk.until(lambda s: s.waiting_for == "release by a person")
    before = (await long_case.snapshot()).targets[0]
    await long_case.let_pass(hours=2)

    described = await long_case.handle().describe()
    runs = [e for e in await events(long_case.handle()) if e["kind"] == "WORKFLOW_EXECUTION_STARTED"]
    assert described.run_id != first
    assert runs[0]["continuedExecutionRunId"] != first  # more than once
    held = await long_case.snapshot()
    assert (held.stage, held.waiting_for) == ("release", "release by a person")
    assert (held.targets[0].change, held.targets[0].proof) == (before.change, before.proof)
    assert long_case.web.carried_out["renew_lease"] > 20

    answer = await long_case.release()
    final = await long_case.finish()

    assert (answer.targets[0].state, final.status, final.evidence) == ("released", "closed", held.evidence)
    assert final.report_uri
    records, kinds = long_case.desk.records, long_case.desk.kinds
    assert [r.sequence for r in records] == list(range(1, len(records) + 1))
    assert {kinds.count(kind) for kind in ("alert-received", "triaged", "isolation-applied", "incident-closed")} == {1}


async def test_alerts_that_come_while_an_incident_continues_as_new_are_each_counted_once(
    case: Case, short_runs: None
) -> None:
    first = (await case.play()).first_execution_run_id
    await case.desk.until(lambda s: s.waiting_for == "release by a person")

    for place in range(2, 42):
        await case.handle().signal("alerts", batch(place, place + 1))
        await case.handle().signal("alerts", batch(place))
    await case.desk.until(lambda s: s.alerts == 42)

    async def anew() -> bool:
        return (await case.handle().describe()).run_id != first

    await eventually(anew)
    assert (await case.snapshot()).alerts == 42
    assert sum(int(e.details["count"] or 0) for e in case.desk.timeline if e.kind == "alerts-counted") == 41


async def test_a_release_under_way_is_answered_by_the_run_that_took_it(case: Case, short_runs: None) -> None:
    await case.play(targets=(case.hosts["web"], case.hosts["app"]), playbook=TWO)
    await case.desk.until(lambda s: s.waiting_for == "release by a person")
    answer = case.web.hold_back("release_host")
    asked = asyncio.create_task(case.release(case.hosts["web"].workload_id))
    await eventually(lambda: case.web.carried_out["release_host"] == 1)
    run_id = (await case.handle().describe()).run_id
    for seconds in range(6):
        await renew(case, datetime.now(UTC) + TERM + timedelta(seconds=seconds), "app")
    assert (await case.snapshot()).targets  # all of them were heard
    assert (await case.handle().describe()).run_id == run_id

    answer.set()

    released = {t.workload.name: t.state for t in (await asked).targets}
    assert released == {"web": "released", "app": "isolated"}

    async def anew() -> bool:
        return (await case.handle().describe()).run_id != run_id

    await eventually(anew)
    await case.release()
    assert {t.state for t in (await case.finish()).targets} == {"released"}


async def test_an_incident_in_triage_continues_as_new_too(case: Case, short_runs: None) -> None:
    await case.play(targets=())
    await case.desk.until(lambda s: s.stage == "triage")
    for place in range(2, 6):
        await case.handle().signal("alerts", batch(place))
    await eventually(lambda: case.desk.snapshot.alerts == 5)

    await case.close()

    assert (await case.finish()).alerts == 5
    assert case.desk.kinds.count("triage-needed") == 1


async def test_a_gate_of_an_earlier_run_is_known_to_be_closed(case: Case, short_runs: None) -> None:
    targets = (case.hosts["web"], case.hosts["app"])
    gated = playbook(contain={"gate": GATE.model_dump(), "max_targets": 2})
    first = (await case.play(targets=targets, playbook=gated)).first_execution_run_id
    gate = await case.gate()
    await case.decide(gate)
    await case.desk.until(lambda s: s.waiting_for == "release by a person")

    async def anew() -> bool:
        await renew(case, datetime.now(UTC) + TERM)
        return (await case.handle().describe()).run_id != first

    await eventually(anew)
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await case.decide(gate, actor="ben")
    assert isinstance(caught.value.cause, ApplicationError)
    assert "There is no gate" not in caught.value.cause.message


async def test_the_ledger_is_not_told_of_every_renewal_and_never_of_a_later_end_than_the_true_one(case: Case) -> None:
    await case.play()
    held = await case.desk.until(lambda s: s.waiting_for == "release by a person")
    await case.target("isolated", proven=True)
    until = held.targets[0].lease_until
    assert until is not None
    written = len(case.desk.records)

    for seconds in range(1, 21):
        await renew(case, until + timedelta(seconds=seconds))
    known = (await case.snapshot()).targets[0]
    assert known.lease_until == until + timedelta(seconds=20)
    assert len(case.desk.records) == written
    await renew(case, until + TERM * 2)

    await case.desk.until(lambda s: any(t.lease_until == until + TERM * 2 for t in s.targets))
    assert len(case.desk.records) == written + 1
    assert case.desk.kinds.count("target-isolated") == 2
