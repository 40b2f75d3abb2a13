"""Targets on a platform: planned before anything changes, held by a lease, released without undoing others' work."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue
from temporalio.client import WorkflowUpdateFailedError

from activities.contracts.incident import StopState, TargetStatus
from activities.killswitch.platform import PermissionMissing, PlatformUnreachable
from tests.workflows.case import Case
from tests.workflows.cast import GATE, batch, playbook
from tests.workflows.history import scheduled
from tests.workflows.impatience import Impatient
from tests.workflows.platforms import FakeCluster
from workflows import attempts

SHORT = {"lease": {"ttl_seconds": 10, "max_seconds": 3600}}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here has to see how long a cluster that is away is left alone between two tries."""
    monkeypatch.setattr(attempts, "PAUSES", (timedelta(seconds=1),))


@pytest.fixture
def cluster(case: Case) -> FakeCluster:
    return FakeCluster(case.incident_id)


async def state_of(
    case: Case, cluster: FakeCluster, state: str, name: str = "web-1", *, proven: bool = False
) -> TargetStatus:
    wanted = cluster.pod(name).workload_id

    def found(status: TargetStatus) -> bool:
        is_it = status.workload.workload_id == wanted and status.state == state
        return is_it and (status.proof is not None or not proven)

    snapshot = await case.desk.until(lambda s: any(found(t) for t in s.targets))
    return next(t for t in snapshot.targets if found(t))


async def test_a_pod_is_observed_then_changed_then_read_back_and_its_proof_claims_no_more(
    case: Case, cluster: FakeCluster
) -> None:
    await case.serve(cluster)
    handle = await case.play(targets=(cluster.pod("web-1"),))

    status = await state_of(case, cluster, "isolated", proven=True)

    assert [verb for _, verb in await scheduled(handle)][:2] == ["observe_targets", "apply_changes"]
    assert cluster.isolated
    assert status.proof is not None
    assert (status.proof.verdict, status.proof.configuration) == ("unproven", "stands")
    assert "nobody measured its effect from outside" in status.proof.reasons
    assert case.desk.said("isolation-applied") == ["web-1 was cut off."]


async def test_a_released_pod_is_as_it_was(case: Case, cluster: FakeCluster) -> None:
    await case.serve(cluster)
    await case.play(targets=(cluster.pod("web-1"),))
    await state_of(case, cluster, "isolated", proven=True)

    await case.release()
    final = await case.finish()

    assert (final.targets[0].state, final.targets[0].restored) == ("released", True)
    assert not cluster.isolated
    assert cluster.values["pod/shop/web-1", "labels"] == {"app": "shop"}


async def test_a_protected_label_that_only_the_platform_knows_asks_for_break_glass(case: Case) -> None:
    cluster = FakeCluster(case.incident_id, role="dns")
    await case.serve(cluster)
    await case.play(targets=(cluster.pod("web-1"),), playbook=playbook(contain={"protected": {"role": ["dns"]}}))

    gate = await case.gate()

    assert gate.gate.spec.roles == ("break-glass",)
    assert "protected (role=dns)" in gate.gate.question
    assert cluster.writes == 0


async def test_a_host_and_pods_are_contained_side_by_side_each_with_its_own_end(
    case: Case, cluster: FakeCluster
) -> None:
    await case.serve(cluster)
    targets = (case.hosts["web"], cluster.pod("web-1"), cluster.pod("web-2"))
    await case.play(targets=targets, playbook=playbook(contain={"max_targets": 3}))
    await case.target("isolated", proven=True)
    await state_of(case, cluster, "isolated", "web-1", proven=True)
    await state_of(case, cluster, "isolated", "web-2", proven=True)

    await case.release(cluster.pod("web-1").workload_id)

    snapshot = await case.snapshot()
    states = {t.workload.name: t.state for t in snapshot.targets}
    assert states == {"web": "isolated", "web-1": "released", "web-2": "isolated"}
    assert case.web.isolated
    await case.release()
    final = await case.finish()
    assert {t.state for t in final.targets} == {"released"}


async def test_targets_of_all_kinds_behind_a_gate_are_decided_once(case: Case, cluster: FakeCluster) -> None:
    await case.serve(cluster)
    targets = (case.hosts["web"], cluster.pod("web-1"))
    await case.play(targets=targets, playbook=playbook(contain={"gate": GATE.model_dump(), "max_targets": 2}))

    gate = await case.gate()

    assert gate.gate.gate_id == "contain"
    assert {words.split(":")[0] for words in gate.gate.plan} == {"web", "web-1"}
    assert (cluster.writes, case.web.applied) == (0, 0)
    await case.decide(gate)
    await case.target("isolated")
    await state_of(case, cluster, "isolated")
    assert len((await case.snapshot()).gates) == 1


async def test_evidence_is_collected_while_people_decide_about_several(case: Case, cluster: FakeCluster) -> None:
    await case.serve(cluster)
    targets = (case.hosts["web"], cluster.pod("web-1"))
    await case.play(targets=targets, playbook=playbook(contain={"gate": GATE.model_dump(), "max_targets": 2}))
    gate = await case.gate()

    await case.desk.until(lambda s: bool(s.evidence))

    await case.decide(gate, "deny")
    final = await case.finish()
    assert {t.state for t in final.targets} == {"denied"}
    assert (cluster.writes, case.web.applied) == (0, 0)


async def test_a_cluster_out_of_reach_keeps_nobody_waiting_and_is_tried_again(case: Case, cluster: FakeCluster) -> None:
    await case.serve(cluster)
    cluster.troubles["write"] = PlatformUnreachable("The API server does not answer.")
    targets = (case.hosts["web"], cluster.pod("web-1"))
    await case.play(targets=targets, playbook=playbook(contain={"max_targets": 2}))

    await case.target("isolated")
    assert not cluster.isolated
    del cluster.troubles["write"]

    await state_of(case, cluster, "isolated")


async def test_a_missing_permission_fails_this_target_by_name_and_no_other(case: Case, cluster: FakeCluster) -> None:
    await case.serve(cluster)
    cluster.troubles["write"] = PermissionMissing("patch pods in shop is not allowed.", hint="Grant it.")
    targets = (case.hosts["web"], cluster.pod("web-1"))
    await case.play(targets=targets, playbook=playbook(contain={"max_targets": 2}))

    failed = await state_of(case, cluster, "failed")

    assert "patch pods in shop" in failed.reason
    await case.target("isolated")


async def test_what_somebody_changed_meanwhile_is_asked_about_and_left_with_what_shelters_it(
    case: Case, cluster: FakeCluster
) -> None:
    await case.serve(cluster)
    await case.play(targets=(cluster.pod("web-1"),))
    await state_of(case, cluster, "isolated", proven=True)
    edited: JsonValue = {"app": "shop", "edited": "by-hand"}
    cluster.values["pod/shop/web-1", "labels"] = edited

    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await case.release()

    assert "people decide about what somebody changed" in str(caught.value.cause)
    assert cluster.values["pod/shop/web-1", "labels"] == edited
    assert cluster.isolated  # without its labels the pod has no other policy: ours goes when they are back
    await case.decide(await case.gate(), "deny")
    final = await case.finish()
    assert (final.targets[0].state, final.targets[0].restored) == ("released", False)
    assert "stays: what relies on it could not be taken back" in final.targets[0].reason
    assert cluster.values["pod/shop/web-1", "labels"] == edited


async def test_people_may_have_it_set_back(case: Case, cluster: FakeCluster) -> None:
    await case.serve(cluster)
    await case.play(targets=(cluster.pod("web-1"),))
    await state_of(case, cluster, "isolated", proven=True)
    cluster.values["pod/shop/web-1", "labels"] = {"edited": "by-hand"}
    with pytest.raises(WorkflowUpdateFailedError):
        await case.release()

    await case.decide(await case.gate())

    final = await case.finish()
    assert (final.targets[0].state, final.targets[0].restored) == ("released", True)
    assert cluster.values["pod/shop/web-1", "labels"] == {"app": "shop"}


async def test_what_was_taken_back_is_set_again_by_the_renewal(case: Case, cluster: FakeCluster) -> None:
    await case.serve(cluster)
    await case.play(targets=(cluster.pod("web-1"),), playbook=playbook(contain=SHORT))
    await state_of(case, cluster, "isolated", proven=True)
    cluster.values.clear()

    await case.desk.until(lambda s: any("were set again" in t.reason for t in s.targets))

    assert cluster.isolated


async def test_a_global_stop_restrains_what_would_follow_corroboration(case: Case) -> None:
    case.desk.stop = StopState(on=True, since=datetime(2031, 5, 1, tzinfo=UTC), actor="user:ana", reason="drill")
    await case.play(alerts=batch(1, signed=False))

    gate = await case.gate()

    assert "the global stop is on" in gate.gate.question
    assert case.web.applied == 0
    await case.decide(gate)
    await case.target("isolated")


async def test_a_restrained_target_waits_for_people_and_the_others_do_not(case: Case, cluster: FakeCluster) -> None:
    await case.serve(cluster)
    restrained = {case.hosts["web"].workload_id: "it would be automatic containment 51 within an hour"}
    targets = (case.hosts["web"], cluster.pod("web-1"))
    await case.play(targets=targets, restraints=restrained, playbook=playbook(contain={"max_targets": 2}))

    gate, _ = await asyncio.gather(case.gate(), state_of(case, cluster, "isolated"))

    assert "automatic containment 51" in gate.gate.question
    assert case.web.applied == 0


async def test_a_pod_that_only_its_platform_knows_to_be_protected_is_asked_about_apart(
    case: Case, cluster: FakeCluster
) -> None:
    guarded = FakeCluster(f"{case.incident_id}-dns", role="dns")
    await case.serve(cluster)
    await case.serve(guarded)
    targets = (case.hosts["web"], cluster.pod("web-1"), guarded.pod("dns-1"))
    contain = {"gate": GATE.model_dump(), "max_targets": 3, "protected": {"role": ["dns"]}}
    await case.play(targets=targets, playbook=playbook(contain=contain))

    gates = (await case.desk.until(lambda s: len(s.gates) == 2)).gates

    asked = {g.gate.gate_id: g.gate for g in gates}
    assert asked["contain"].spec == GATE
    apart = asked[f"contain.{guarded.pod('dns-1').workload_id}"]
    assert apart.spec.roles == ("break-glass",)
    assert "It is protected (role=dns)." in apart.question


async def test_a_target_that_comes_back_during_a_global_stop_is_left_alone_until_it_is_lifted(
    case: Case, cluster: FakeCluster
) -> None:
    await case.serve(cluster)
    cluster.troubles["write"] = PlatformUnreachable("The API server does not answer.")
    await case.work(Impatient())
    await case.open(targets=(cluster.pod("web-1"),))
    await case.desk.until(lambda s: any(t.state == "applying" for t in s.targets))
    case.desk.stop = StopState(on=True, since=datetime(2031, 5, 1, tzinfo=UTC), actor="user:ana", reason="drill")
    await case.desk.until(lambda s: any("the global stop is on" in t.reason for t in s.targets))

    del cluster.troubles["write"]
    assert cluster.writes == 0
    case.desk.stop = StopState()

    await state_of(case, cluster, "isolated")


async def test_breaking_the_glass_is_a_line_of_its_own_in_the_timeline(case: Case) -> None:
    await case.play(playbook=playbook(contain={"protected": {"app": ["shop"]}}))
    gate = await case.gate()

    await case.decide(gate, roles=("break-glass",))

    await case.target("isolated")
    assert case.desk.said("break-glass") == ["ana says approve on contain.web. seen"]
    assert case.desk.said("decision") == []


async def test_what_stands_of_a_change_that_is_refused_half_way_has_a_holder_and_is_let_go(
    case: Case, cluster: FakeCluster
) -> None:
    await case.serve(cluster)
    cluster.refuses["pod/"] = PermissionMissing("patch pods in shop is not allowed.", hint="Grant it.")
    await case.play(targets=(cluster.pod("web-1"),))

    held = await state_of(case, cluster, "isolated", proven=True)

    assert "only 1 of 2 settings are known to stand" in case.desk.said("target-isolated")[0]
    assert held.proof is not None
    assert held.proof.configuration == "differs"
    assert cluster.isolated
    await case.release()
    await case.finish()
    assert not cluster.isolated


async def test_what_a_first_try_has_set_is_not_taken_for_what_was_there_before(
    case: Case, cluster: FakeCluster
) -> None:
    await case.serve(cluster)
    cluster.refuses["pod/"] = PlatformUnreachable("The API server does not answer.")
    await case.work(Impatient())
    await case.open(targets=(cluster.pod("web-1"),))
    await case.desk.until(lambda s: any(t.state == "applying" for t in s.targets))
    assert cluster.writes == 1  # the policy, not the labels
    cluster.labels = {"app": "shop", "release": "2"}  # planned anew, over our own policy
    cluster.values["pod/shop/web-1", "labels"] = {"app": "shop", "release": "2"}
    cluster.refuses.clear()
    await state_of(case, cluster, "isolated")

    await case.release()

    assert not cluster.isolated
    assert cluster.values["pod/shop/web-1", "labels"] == {"app": "shop", "release": "2"}


async def test_what_was_approved_is_not_asked_again_because_a_cluster_was_away(
    case: Case, cluster: FakeCluster
) -> None:
    await case.serve(cluster)
    cluster.refuses["pod/"] = PlatformUnreachable("The API server does not answer.")
    await case.work(Impatient())
    await case.open(targets=(cluster.pod("web-1"),), playbook=playbook(contain={"gate": GATE.model_dump()}))
    await case.decide(await case.gate())
    await case.desk.until(lambda s: any("Trying again" in t.reason for t in s.targets))

    cluster.refuses.clear()

    await state_of(case, cluster, "isolated")
    assert len((await case.snapshot()).gates) == 1


async def test_what_was_given_up_while_its_cluster_was_away_is_held_until_it_can_be_let_go(
    case: Case, cluster: FakeCluster
) -> None:
    await case.serve(cluster)
    away = PlatformUnreachable("The API server does not answer.")
    cluster.refuses["pod/"] = away
    await case.work(Impatient())
    await case.open(targets=(cluster.pod("web-1"),))
    await case.desk.until(lambda s: any(t.state == "applying" for t in s.targets))
    cluster.troubles["read"] = away

    with pytest.raises(WorkflowUpdateFailedError):
        await case.release()

    assert (await case.snapshot()).targets[0].state == "isolated"
    assert cluster.writes == 1  # the policy stands, and somebody holds it
    cluster.troubles.clear()
    cluster.refuses.clear()
    await case.release()
    assert (await case.finish()).targets[0].state == "released"
    assert not cluster.isolated
