"""Which way an incident goes: corroborated, decided, or waiting for people to look."""

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from activities.contracts.incident import IncidentSnapshot
from segmentation.errors import FirebreakError
from tests.workflows.case import Case
from tests.workflows.cast import batch, playbook
from tests.workflows.history import scheduled


async def test_an_unsigned_alert_that_the_siem_confirms_is_contained(case: Case) -> None:
    handle = await case.play(alerts=batch(1, signed=False))
    await case.target("isolated")

    assert (await scheduled(handle))[0] == (case.queue, "corroborate_alert")
    assert case.desk.snapshot.corroborated is True
    assert case.desk.snapshot.gates == ()


@pytest.mark.parametrize(
    ("siem", "reason"),
    [
        (False, "the SIEM does not hold the events that the alert claims"),
        (None, "the SIEM could not corroborate the message"),
        (FirebreakError("the SIEM refuses our key"), "the SIEM could not corroborate the message"),
    ],
    ids=["the SIEM knows nothing of it", "the SIEM can't say", "asking the SIEM fails"],
)
async def test_an_unsigned_alert_that_nothing_confirms_is_for_people_to_decide(
    case: Case, siem: bool | Exception | None, reason: str
) -> None:
    case.desk.siem = siem
    await case.play(alerts=batch(1, signed=False))

    gate = await case.gate()

    assert gate.gate.question == f"Isolate web? {reason}."
    assert case.web.applied == 0
    await case.decide(gate)
    await case.target("isolated")


async def test_without_a_siem_an_unsigned_alert_is_for_people_to_decide(case: Case) -> None:
    handle = await case.play(alerts=batch(1, signed=False), siem_configured=False)

    gate = await case.gate()

    assert gate.gate.question == "Isolate web? the SIEM could not corroborate the message."
    assert "corroborate_alert" not in {verb for _, verb in await scheduled(handle)}
    assert case.web.applied == 0


async def test_a_playbook_may_ask_for_corroboration_of_signed_alerts_too(case: Case) -> None:
    case.desk.siem = False
    await case.play(playbook=playbook(contain={"corroborate": True}))

    gate = await case.gate()

    assert "does not hold" in gate.gate.question
    assert case.web.applied == 0


async def waits_in_triage(case: Case) -> IncidentSnapshot:
    snapshot = await case.desk.until(lambda s: s.stage == "triage" and bool(s.waiting_for))
    assert snapshot.waiting_for == "a person: triage, then close"
    assert snapshot.status == "open"
    return snapshot


async def test_an_alert_about_nobody_we_know_waits_in_triage_until_it_is_closed(case: Case) -> None:
    handle = await case.play(targets=())
    await waits_in_triage(case)
    assert case.desk.said("triage-needed") == [
        "Repeated denied connections from siem: it names no workload we know, or more than one. Nothing was contained."
    ]

    await case.close()
    final = await case.finish()

    assert (final.status, final.targets) == ("closed", ())
    assert case.desk.kinds == ["triage-needed", "close-requested", "incident-closed"]
    assert {queue for queue, _ in await scheduled(handle)} == {case.queue}
    assert sum(fake.carried_out.total() for fake in case.fakes.values()) == 0


async def test_an_alert_that_no_playbook_answers_waits_in_triage(case: Case) -> None:
    await case.play(playbook=None)
    await waits_in_triage(case)

    assert "no playbook answers it" in case.desk.said("triage-needed")[0]
    assert case.web.carried_out.total() == 0


async def test_an_incident_that_contains_is_not_closed_by_asking(case: Case) -> None:
    await case.play()
    await case.target("isolated")

    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await case.close()

    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "not-in-triage"
    assert (await case.snapshot()).status == "open"
