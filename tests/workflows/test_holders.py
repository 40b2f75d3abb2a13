"""A holder of a lease that somebody ended: another one holds what stands, or lets it go."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from activities.contracts.incident import LeaseRenewed
from activities.killswitch.platform import PlatformUnreachable
from tests.workflows.case import Case, LongCase
from tests.workflows.cast import playbook
from tests.workflows.impatience import Impatient
from tests.workflows.platforms import FakeCluster
from tests.workflows.waiting import eventually
from workflows import long_waits

DAY = playbook(contain={"lease": {"ttl_seconds": 900, "max_seconds": 86400}})


@pytest.fixture
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The incident continues as new with every signal that reaches it while it waits."""
    monkeypatch.setattr(long_waits, "NEWS_PER_RUN", 1)


async def run_of(case: Case, suffix: str = "") -> str:
    run_id = (await case.handle(suffix).describe()).run_id
    assert run_id is not None
    return run_id


async def continued(case: Case) -> None:
    """Wait until the incident waits for its release in a run that did not start the child."""
    await case.desk.until(lambda s: s.waiting_for == "release by a person")
    first, until = await run_of(case), datetime.now(UTC) + timedelta(minutes=15)
    for target in case.desk.snapshot.targets:  # a query may meet a run that ends while it is asked
        renewed = LeaseRenewed(target_id=target.workload.workload_id, lease_until=until)
        await case.handle().signal("lease_renewed", renewed)

    async def anew() -> bool:
        return await run_of(case) != first

    await eventually(anew)


async def test_another_one_takes_the_lease_of_a_holder_that_was_ended(case: Case) -> None:
    await case.play()
    before = await case.target("isolated", proven=True)
    first = await run_of(case, ".contain.web")
    await case.handle(".contain.web").terminate("by mistake")

    await eventually(lambda: case.web.carried_out["renew_lease"] == 1)

    assert await run_of(case, ".contain.web") != first
    assert len(case.desk.said("lease-unheld")) == 1
    assert case.desk.said("lease-unheld")[0].startswith("web: its lease has no holder: ")
    assert case.web.carried_out["isolate_host"] == 1
    answer = await case.release()
    after = answer.targets[0]
    assert (after.state, after.restored, after.change) == ("released", True, before.change)
    assert (await case.finish()).status == "closed"


async def test_a_release_that_finds_no_holder_is_carried_out_by_one_that_only_lets_go(
    case: Case, short_runs: None
) -> None:
    cluster = FakeCluster(case.incident_id)
    await case.serve(cluster)
    targets = (case.hosts["web"], cluster.pod("web-1"))
    await case.play(targets=targets, playbook=playbook(contain={"max_targets": 2}))
    await continued(case)
    for suffix in (".contain.web", f".contain.{cluster.pod('web-1').workload_id}"):
        await case.handle(suffix).terminate("by mistake")
    probes, reads = case.fakes["app"].carried_out["probe_peers"], cluster.calls["observe"]

    answer = await case.release()

    assert {(t.state, t.restored) for t in answer.targets} == {("released", True)}
    assert not case.web.isolated
    assert not cluster.isolated
    assert cluster.values["pod/shop/web-1", "labels"] == {"app": "shop"}
    assert case.web.carried_out["renew_lease"] == 0
    assert (case.fakes["app"].carried_out["probe_peers"], cluster.calls["observe"]) == (probes, reads)
    assert (await case.finish()).status == "closed"


async def test_a_lease_that_ran_out_unheard_gets_a_holder_again(long_case: LongCase, short_runs: None) -> None:
    cluster = FakeCluster(long_case.incident_id)
    pod = cluster.pod("web-1")
    await long_case.serve(cluster)
    await long_case.play(targets=(pod,), playbook=DAY)
    await continued(long_case)
    await long_case.let_pass(minutes=6)
    await long_case.handle(f".contain.{pod.workload_id}").terminate("by mistake")
    cluster.values.clear()  # somebody took it back, and nobody was there to set it again

    await long_case.let_pass(minutes=40)

    assert cluster.isolated
    assert len(long_case.desk.said("lease-unheld")) == 1
    assert (await long_case.release()).targets[0].state == "released"
    assert not cluster.isolated


async def test_what_may_stand_of_a_try_whose_holder_was_ended_is_not_completed_and_can_be_let_go(case: Case) -> None:
    cluster = FakeCluster(case.incident_id)
    pod = cluster.pod("web-1")
    await case.serve(cluster)
    cluster.refuses["pod/"] = PlatformUnreachable("The API server does not answer.")
    await case.work(Impatient())
    await case.open(targets=(pod,))
    await case.desk.until(lambda s: any("Trying again" in t.reason for t in s.targets))
    await case.handle(f".contain.{pod.workload_id}").terminate("by mistake")
    cluster.refuses.clear()
    held = await case.desk.until(lambda s: any(t.state == "isolated" for t in s.targets))
    written = cluster.writes

    answer = await case.release()

    assert "whether any of it stands can't be told" in held.targets[0].reason
    assert written == 1  # the policy that was there, and no labels after it
    assert answer.targets[0].state == "released"
    assert not cluster.isolated


async def test_a_second_holder_that_is_ended_is_not_replaced_at_once_but_can_be_asked_for(case: Case) -> None:
    await case.play()
    await case.target("isolated", proven=True)
    await case.handle(".contain.web").terminate("by mistake")
    await eventually(lambda: case.web.carried_out["renew_lease"] == 1)
    await case.handle(".contain.web").terminate("again")
    await eventually(lambda: len(case.desk.said("lease-unheld")) == 2)
    await asyncio.gather(case.release(), case.finish())

    assert not case.web.isolated
    assert case.web.carried_out["renew_lease"] == 1
