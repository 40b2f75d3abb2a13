"""Letting go: what stood before comes back, and nothing is let go that is not held."""

import asyncio

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from segmentation.errors import FirebreakError
from tests.workflows.case import Case
from tests.workflows.cast import GATE, INTRUDER, playbook
from tests.workflows.story import Story
from tests.workflows.waiting import eventually


def test_a_release_restores_what_stood_before_and_closes_the_incident(story: Story) -> None:
    answer, final = story.answer.targets[0], story.final

    assert (answer.state, answer.restored, final.status) == ("released", True, "closed")
    assert not story.web.isolated
    assert (story.release.change, story.release.observation) == (story.proven.change, story.proven.observation)
    assert story.desk.said("release-requested") == ["the disk was imaged"]


def test_a_release_keeps_the_proof_that_was_drawn(story: Story) -> None:
    assert story.final.targets[0].proof == story.proven.proof is not None


async def test_nothing_is_released_while_nothing_is_held(case: Case) -> None:
    await case.play(playbook=playbook(contain={"gate": GATE.model_dump()}))
    await case.gate()

    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await case.release()

    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.type == "nothing-to-release"
    assert case.web.carried_out["release_host"] == 0
    assert "release-requested" not in case.desk.kinds


async def test_a_release_by_the_playbook_follows_a_confirmed_repair(case: Case) -> None:
    case.web.processes = (INTRUDER,)
    sections = {"remediate": {"action": "kill-process-group", "gate": None}, "release": {"when": "remediated"}}
    await case.play(playbook=playbook(**sections))
    final = await case.finish()

    assert final.remediation == "done: ended pids 4711; no member is left"
    assert (final.targets[0].state, final.targets[0].restored) == ("released", True)


async def test_a_repair_that_found_nothing_leaves_the_release_to_people(case: Case) -> None:
    sections = {"remediate": {"action": "kill-process-group", "gate": None}, "release": {"when": "remediated"}}
    await case.play(playbook=playbook(**sections))

    snapshot = await case.desk.until(lambda s: s.waiting_for == "release by a person")

    assert snapshot.remediation.startswith("nothing-to-do")
    assert case.web.isolated


async def test_a_host_that_can_not_let_go_is_still_held_and_may_be_asked_again(case: Case) -> None:
    case.web.troubles["release_host"] = FirebreakError("nft refused the batch")
    await case.play()
    await case.target("isolated", proven=True)

    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await case.release()
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.message == "web was not released: nft refused the batch"
    assert case.web.isolated
    assert (await case.snapshot()).targets[0].state == "isolated"

    del case.web.troubles["release_host"]
    answer = await case.release()
    assert answer.targets[0].state == "released"
    assert not case.web.isolated


async def test_a_release_reaches_a_lease_whose_holder_was_ended_a_moment_ago(case: Case) -> None:
    await case.play()
    await case.target("isolated", proven=True)
    await case.handle(".contain.web").terminate("by mistake")

    answer = await case.release()

    assert (answer.targets[0].state, answer.targets[0].restored) == ("released", True)
    assert not case.web.isolated


async def test_a_release_that_was_asked_of_a_holder_which_is_then_ended_is_carried_out_by_the_next(case: Case) -> None:
    door = case.web.hold_back("release_host")
    await case.play()
    await case.target("isolated", proven=True)
    asked = asyncio.create_task(case.release())
    await eventually(lambda: case.web.carried_out["release_host"] == 1)

    await case.handle(".contain.web").terminate("by mistake")
    await eventually(lambda: case.web.carried_out["release_host"] == 2)
    door.set()

    assert (await asked).targets[0].state == "released"
    assert case.web.carried_out["renew_lease"] == 0
