"""The lease: renewed while the incident stands, ended by its rule, carried over when the workflow continues as new."""

import asyncio

import pytest

from activities.contracts.incident import ReleaseRequest
from segmentation.errors import FirebreakError
from tests.workflows.case import LongCase
from tests.workflows.cast import playbook
from tests.workflows.waiting import eventually
from workflows import contain_target

HOUR = {"ttl_seconds": 900, "max_seconds": 3600}
OPEN = playbook(contain={"lease": {**HOUR, "ends": "open"}})
CLOSED = playbook(contain={"lease": {**HOUR, "ends": "closed"}})


def renewals(case: LongCase) -> int:
    return case.web.carried_out["renew_lease"]


async def test_a_lease_is_renewed_three_times_in_its_length(long_case: LongCase) -> None:
    await long_case.play(playbook=OPEN)
    before = await long_case.target("isolated", proven=True)
    await long_case.let_pass(minutes=16)

    after = (await long_case.snapshot()).targets[0]
    assert renewals(long_case) == 3
    assert before.lease_until is not None
    assert after.lease_until is not None
    assert after.lease_until > before.lease_until
    assert after.proof == before.proof
    assert long_case.desk.kinds.count("target-isolated") == 2


async def test_a_lease_that_ends_open_is_left_to_the_kernel_after_its_longest_time(long_case: LongCase) -> None:
    await long_case.play(playbook=OPEN)
    await long_case.target("isolated", proven=True)
    await long_case.let_pass(minutes=59)
    assert (await long_case.snapshot()).targets[0].state == "isolated"
    await long_case.let_pass(minutes=17)

    final = await long_case.finish()
    assert final.targets[0].state == "expired"
    assert renewals(long_case) == 12
    assert long_case.web.carried_out["release_host"] == 0


async def test_a_release_is_heard_while_the_last_term_of_a_lease_runs(long_case: LongCase) -> None:
    await long_case.play(playbook=OPEN)
    await long_case.target("isolated", proven=True)
    await long_case.let_pass(minutes=61)
    assert renewals(long_case) == 12

    answer = await long_case.release()

    assert answer.targets[0].state == "released"
    assert not long_case.web.isolated


async def test_a_lease_that_ends_closed_holds_until_somebody_releases_it(long_case: LongCase) -> None:
    await long_case.play(playbook=CLOSED)
    await long_case.target("isolated", proven=True)
    await long_case.let_pass(days=30)

    assert (await long_case.snapshot()).targets[0].state == "isolated"
    assert long_case.web.isolated
    answer = await long_case.release()
    assert answer.targets[0].state == "released"


async def test_a_renewal_that_fails_is_told_and_tried_again_when_the_next_is_due(long_case: LongCase) -> None:
    await long_case.play(playbook=OPEN)
    await long_case.target("isolated", proven=True)
    long_case.web.troubles["renew_lease"] = FirebreakError("nft refused the batch")
    await long_case.let_pass(minutes=6)
    told = await long_case.desk.until(lambda s: bool(s.targets) and bool(s.targets[0].reason))
    assert told.targets[0].reason == "renewal failed: nft refused the batch"
    assert told.targets[0].state == "isolated"

    del long_case.web.troubles["renew_lease"]
    await long_case.let_pass(minutes=5)
    assert (await long_case.snapshot()).targets[0].reason == ""
    assert renewals(long_case) == 2


async def test_a_table_that_was_taken_away_is_applied_again_and_told(long_case: LongCase) -> None:
    await long_case.play(playbook=OPEN)
    await long_case.target("isolated", proven=True)
    long_case.web.tables.clear()
    await long_case.let_pass(minutes=6)

    told = await long_case.desk.until(lambda s: bool(s.targets) and bool(s.targets[0].reason))
    assert told.targets[0].reason == "our table was gone and has been applied again"
    assert long_case.web.isolated
    assert long_case.web.applied == 2


@pytest.fixture
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Continue as new after two renewals; the runner of the tests shares the module that is patched."""
    monkeypatch.setattr(contain_target, "RENEWALS_PER_RUN", 2)


async def test_a_lease_goes_on_when_its_workflow_continues_as_new(long_case: LongCase, short_runs: None) -> None:
    await long_case.play(playbook=OPEN)
    before = await long_case.target("isolated", proven=True)
    first_run = (await long_case.handle(".contain.web").describe()).run_id
    await long_case.let_pass(minutes=26)

    after = (await long_case.snapshot()).targets[0]
    assert (await long_case.handle(".contain.web").describe()).run_id != first_run
    assert renewals(long_case) == 5
    assert after.proof == before.proof
    assert before.lease_until is not None
    assert after.lease_until is not None
    assert after.lease_until > before.lease_until
    assert long_case.fakes["app"].carried_out["probe_peers"] == 1
    orders = [o.header.order_id for o in long_case.web.orders]
    assert len(orders) == len(set(orders))

    answer = await long_case.release()
    assert (answer.targets[0].state, answer.targets[0].proof) == ("released", before.proof)


async def test_a_release_that_comes_just_before_the_workflow_continues_as_new_is_not_lost(
    long_case: LongCase, short_runs: None
) -> None:
    await long_case.play(playbook=OPEN)
    await long_case.target("isolated", proven=True)
    await long_case.let_pass(minutes=6)
    answer = long_case.web.hold_back("renew_lease")
    passing = asyncio.create_task(long_case.let_pass(minutes=5))
    await eventually(lambda: renewals(long_case) == 2)

    await long_case.handle(".contain.web").signal("release", ReleaseRequest(actor="ana", reason="enough"))
    answer.set()
    await passing

    assert (await long_case.target("released")).restored is True
