"""Collecting that was begun goes on for as long as it may, whoever is away in between."""

from datetime import timedelta

from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes

from activities.contracts.collecting import CollectVolatileOrder
from activities.host.upload_errors import UploadFailed, UploadRejected
from tests.workflows.case import Case
from tests.workflows.cast import playbook
from tests.workflows.waiting import eventually
from workflows.orders import ORDER_LIFE

FORENSICS = {"capture_seconds": 1, "collect": ["sockets"]}


async def tries(case: Case, verb: str) -> list[ActivityTaskScheduledEventAttributes]:
    history = await case.handle(".collect.web").fetch_history()
    scheduled = [event.activity_task_scheduled_event_attributes for event in history.events]
    return [one for one in scheduled if one.activity_type.name == verb]


async def test_a_try_that_could_not_finish_is_repeated_with_no_bound_on_how_long_the_host_is_away(case: Case) -> None:
    case.web.troubles["collect_volatile"] = UploadFailed("the vault is away")
    await case.play(playbook=playbook(forensics=FORENSICS))
    await eventually(lambda: case.web.carried_out["collect_volatile"] > 1)
    del case.web.troubles["collect_volatile"]
    await case.desk.until(lambda _: "evidence-collected" in case.desk.kinds)

    first, second = await tries(case, "collect_volatile")
    assert first.schedule_to_start_timeout.ToTimedelta() == ORDER_LIFE
    assert second.schedule_to_start_timeout.ToTimedelta() >= second.schedule_to_close_timeout.ToTimedelta()
    assert second.schedule_to_close_timeout.ToTimedelta() > timedelta(minutes=25)
    orders = [order for order in case.web.orders if isinstance(order, CollectVolatileOrder)]
    assert {order.continues for order in orders[1:]} == {orders[0].header.order_id}
    assert not [said for said in case.desk.said("forensics-problem") if "collect_volatile" in said]


async def test_a_try_that_was_refused_is_not_repeated(case: Case) -> None:
    case.web.troubles["collect_volatile"] = UploadRejected("the vault will not take it")
    await case.play(playbook=playbook(forensics=FORENSICS))
    await case.desk.until(lambda _: "evidence-collected" in case.desk.kinds)

    assert len(await tries(case, "collect_volatile")) == 1
    assert case.web.carried_out["collect_volatile"] == 1


async def test_items_of_somebody_else_are_none_of_the_incident(case: Case) -> None:
    case.desk.refuses = "sockets.json"
    await case.play(playbook=playbook(forensics=FORENSICS))
    await case.desk.until(lambda _: "evidence-collected" in case.desk.kinds)

    assert {item.name for item in case.desk.snapshot.evidence} == {"ring.json", "full.json"}
    assert any("is no item of" in said for said in case.desk.said("forensics-problem"))
    assert {one.owner.name for one in case.desk.registered if one.owner} == {case.hosts["web"].name}
