"""What is proven, by whom: a host that is contained never testifies for itself."""

from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from playbooks.proof import Aspect, Measurement
from segmentation.errors import FirebreakError
from tests.workflows.case import Case, LongCase
from tests.workflows.cast import LIFELINE
from tests.workflows.containing import proof_of
from tests.workflows.story import Story

TRAFFIC: tuple[Aspect, ...] = ("new", "established", "ipv6")


def claim(case: Case, aspect: Aspect, witness: str, subject: str = "web") -> Measurement:
    return Measurement(
        aspect=aspect,
        result="open" if aspect == "lifeline" else "cut",
        method="a claim",
        witness=case.hosts[witness].workload_id,
        subject=case.hosts[subject].workload_id,
        measured_at=datetime.now(UTC),
    )


def test_containment_is_effective_when_peers_see_nothing_and_the_lifeline_answers(story: Story) -> None:
    proof = story.proven.proof

    assert proof is not None
    assert (proof.verdict, proof.lifeline, proof.bystanders) == ("effective", "open", "open")
    independent = {m.witness for m in proof.measurements if m.independent}
    assert independent == {story.hosts["app"].workload_id, story.hosts["db"].workload_id}


def test_a_witness_is_told_who_is_subject_who_is_bystander_and_what_the_lifeline_is(story: Story) -> None:
    order = story.probe

    assert {t.host_id for t in order.subject} == {story.hosts["web"].workload_id}
    assert {str(t.address) for t in order.subject} == {"10.77.0.11", "fd77::11"}
    assert {t.host_id for t in order.bystanders} == {story.hosts["db"].workload_id}
    assert order.lifeline == LIFELINE


async def test_a_witness_that_did_not_sign_proves_nothing(case: Case) -> None:
    await case.work()
    await case.join("web")
    await case.join("app", "db", key=Ed25519PrivateKey.generate())

    proof = await proof_of(case)

    assert proof.verdict == "unproven"
    assert {m.witness for m in proof.measurements} == {case.hosts["web"].workload_id}


async def test_a_contained_host_does_not_speak_for_its_witnesses(case: Case) -> None:
    lies = tuple(claim(case, aspect, "app") for aspect in TRAFFIC)
    case.web.says["probe_lifeline"] = (*lies, claim(case, "lifeline", "web"))
    await case.work()
    await case.join("web")

    proof = await proof_of(case, witnesses=())

    assert proof.verdict == "unproven"
    assert [m.aspect for m in proof.measurements] == ["lifeline"]


async def test_a_witness_speaks_for_nobody_else(case: Case) -> None:
    case.fakes["app"].says["probe_peers"] = tuple(claim(case, aspect, "db") for aspect in TRAFFIC)
    case.fakes["db"].troubles["probe_peers"] = FirebreakError("no raw socket here")
    await case.work()
    await case.join(*case.hosts)

    proof = await proof_of(case)

    assert proof.verdict == "unproven"
    assert all(m.aspect == "lifeline" for m in proof.measurements)


async def test_a_lifeline_that_nobody_signed_for_proves_nothing(case: Case) -> None:
    await case.work()
    await case.join("app", "db")
    await case.join("web", key=Ed25519PrivateKey.generate())

    proof = await proof_of(case)

    assert (proof.verdict, proof.lifeline) == ("partial", "unknown")


async def test_one_witness_that_still_gets_through_is_asked_again_and_makes_it_partial_at_best(
    long_case: LongCase,
) -> None:
    reached = claim(long_case, "new", "db").model_copy(update={"result": "open"})
    rest = (claim(long_case, "established", "db"), claim(long_case, "ipv6", "db"))
    long_case.fakes["db"].says["probe_peers"] = (reached, *rest)
    await long_case.play()
    await long_case.target("isolated")
    await long_case.let_pass(seconds=5)

    proof = (await long_case.target("isolated", proven=True)).proof

    assert proof is not None
    assert (proof.verdict, proof.new) == ("partial", "open")
    assert long_case.fakes["db"].carried_out["probe_peers"] == 3
    assert long_case.web.isolated


async def test_a_dead_lifeline_rolls_the_change_back_and_says_so(case: Case) -> None:
    case.web.lifeline = "cut"
    await case.play()
    final = await case.finish()

    target = final.targets[0]
    assert target.state == "rolled-back"
    assert target.reason == "the lifeline was dead: temporal 10.99.0.1:7233 did not answer"
    assert not case.web.isolated
    assert case.web.carried_out["release_host"] == 0
    assert final.evidence
    assert final.stage == "closed"
