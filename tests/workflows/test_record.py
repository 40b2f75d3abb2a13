"""What reaches the ledger: everything, once, in order."""

import asyncio

from activities.contracts.incident import AlertBatch
from tests.workflows.case import Case
from tests.workflows.cast import batch
from workflows.incident import IncidentWorkflow


async def count(case: Case, *batches: AlertBatch) -> None:
    for alerts in batches:
        await case.handle().signal(IncidentWorkflow.alerts, alerts)


async def test_every_write_has_the_next_number(case: Case) -> None:
    await case.play()
    await case.target("isolated")
    await case.release()
    await case.finish()

    assert [r.sequence for r in case.desk.records] == list(range(1, len(case.desk.records) + 1))


async def test_each_alert_counts_once_however_often_it_is_handed_over(case: Case) -> None:
    await case.play(alerts=batch(3, 4))
    await case.target("isolated")

    await count(case, batch(5, 6), batch(5, 6), batch(6, 7), batch(3), batch(1, 2))
    await case.release()
    final = await case.finish()

    assert final.alerts == 5
    assert case.desk.said("alerts-counted") == [
        "2 more of Repeated denied connections: 4 in all.",
        "1 more of Repeated denied connections: 5 in all.",
    ]


async def test_a_thousand_alerts_are_one_incident_that_counted_them(case: Case) -> None:
    await case.play(alerts=batch(1))
    await case.target("isolated")

    await count(case, *(batch(*range(n, n + 100)) for n in range(2, 1002, 100)))
    await case.release()
    final = await case.finish()

    assert final.alerts == 1001
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
    async with asyncio.timeout(10):
        while case.desk.calls.count("record_incident") < 2:
            await asyncio.sleep(0.05)
    assert case.web.isolated

    del case.desk.troubles["record_incident"]
    await case.target("isolated", proven=True)
    await case.release()
    await case.finish()

    assert case.desk.kinds[:3] == ["alert-received", "triaged", "isolation-applied"]
    assert [r.sequence for r in case.desk.records] == list(range(1, len(case.desk.records) + 1))
