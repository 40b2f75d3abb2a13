"""Whoever comes after a lost answer or a dead agent takes over what stands, with what stood before the first order."""

import signal
from datetime import timedelta

import pytest

from activities.contracts.host import IsolateOrder
from activities.host import lifeline
from activities.host.generation import Generation
from activities.host.interfaces import Links, read_links
from activities.host.nft import NftRefused
from activities.host.standing import Standings, utc_now
from playbooks.host_isolation import Interface, plan_isolation
from playbooks.isolation_modes import ISOLATE_ALL, EgressOnly
from tests.activities.host.agents import Agent
from tests.activities.host.crashes import Crashing, crashed
from tests.activities.host.pair import CUT, LIFELINE, OPEN, Pair
from tests.activities.host.test_leases import remaining_seconds

DEAD = LIFELINE[0].model_copy(update={"port": 7999})
TABLE = "firebreak_inc_1"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifeline, "_PATIENCE_SECONDS", 0.05)


def aged(agent: Agent, seconds: int) -> None:
    """The lease was wound up so long ago."""
    standings = Standings(agent.journal)
    standing = standings.find(TABLE)
    assert standing is not None
    standings.keep(standing.model_copy(update={"wound_at": utc_now() - timedelta(seconds=seconds)}))


def test_another_order_takes_over_from_an_agent_that_was_killed_after_its_cut(pair: Pair) -> None:
    agent = pair.agent()
    before = agent.observe()
    plan = plan_isolation(before, agent.intent(lifeline=LIFELINE))
    order = IsolateOrder(header=agent.header("lost"), intent=agent.intent(lifeline=LIFELINE), change=plan)
    agent.stop()
    module = "tests.activities.host.cut_once"
    ended = pair.python(module, str(pair.state), agent.host_id, order.model_dump_json(), "killed")
    assert ended.returncode == -signal.SIGKILL
    assert pair.talks() == CUT
    again = pair.agent()
    done = again.isolate(again.intent(lifeline=LIFELINE), change=plan, order_id="another")
    assert (done.already_standing, done.rolled_back, done.change) == (True, False, plan)
    assert done.observation == before.model_copy(update={"boot_id": done.observation.boot_id})
    assert utc_now() - timedelta(seconds=60) < done.applied_at < utc_now()
    assert again.release(done).restored
    assert pair.talks() == OPEN


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_another_order_finds_what_stood_before_wherever_the_first_agent_died(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    crashing = Crashing(monkeypatch)
    agent = crashing.watch(pair.agent())
    before = agent.observe()
    crashing.after(number)
    with crashed(agent):
        agent.isolate(agent.intent(lifeline=LIFELINE))
    again = pair.agent()
    done = again.isolate(again.intent(lifeline=LIFELINE))
    assert (done.observation, done.already_standing, pair.talks()) == (before, number > 1, CUT)
    assert again.release(done).restored


def test_taking_over_at_once_changes_nothing(pair: Pair) -> None:
    agent = pair.agent()
    first = agent.isolate(agent.intent(lifeline=LIFELINE))
    generation, record = agent.inside(Generation), agent.journal.standing(TABLE)
    before = agent.inside(generation.read), agent.inside(agent.nft.list_ruleset)
    again = agent.isolate(agent.intent(lifeline=LIFELINE))
    assert (again.observation, again.applied_at, again.lease_until) == (
        first.observation,
        first.applied_at,
        first.lease_until,
    )
    assert agent.inside(generation.read) == before[0]
    assert agent.journal.standing(TABLE) == record
    generation.close()


def test_a_lease_that_is_taken_over_late_is_wound_up(pair: Pair) -> None:
    agent = pair.agent()
    first = agent.isolate(agent.intent(lease=90, lifeline=LIFELINE))
    agent.renew(first.change, 30)
    aged(agent, 10)
    again = agent.isolate(agent.intent(lease=90, lifeline=LIFELINE))
    assert (again.already_standing, again.applied_at) == (True, first.applied_at)
    assert 85 <= remaining_seconds(agent, first.change) <= 90
    assert again.lease_until is not None
    assert timedelta(seconds=85) < again.lease_until - utc_now() < timedelta(seconds=90)


def test_a_containment_that_was_flushed_goes_on_as_the_one_it_was(pair: Pair) -> None:
    agent = pair.agent()
    agent.host.run(["nft", "add", "table", "inet", "others"])
    first = agent.isolate(agent.intent(lifeline=LIFELINE))
    agent.host.run(["nft", "flush", "ruleset"])
    again = agent.isolate(agent.intent(lifeline=LIFELINE))
    assert (again.already_standing, again.observation, pair.talks()) == (False, first.observation, CUT)
    assert agent.release(again).drift == ("table inet others is gone",)


def test_a_lease_that_ran_out_begins_another_containment(pair: Pair) -> None:
    agent = pair.agent()
    agent.isolate(agent.intent(lifeline=LIFELINE))
    aged(agent, 61)
    agent.host.run(["nft", "delete", "element", "inet", TABLE, "armed", "{ ipv4, ipv6 }"])
    agent.host.run(["nft", "add", "table", "inet", "others"])
    again = agent.isolate(agent.intent(lifeline=LIFELINE))
    assert not again.already_standing
    assert "table inet others" in again.observation.ruleset_outline
    assert again.observation.base_chains == ()


def test_without_its_journal_an_agent_tells_what_stands_there_without_its_own(pair: Pair) -> None:
    agent = pair.agent()
    first = agent.isolate(agent.intent(lifeline=LIFELINE))
    agent.stop()
    for file in pair.state.glob("journal.*"):
        file.unlink()
    again = pair.agent()
    done = again.isolate(again.intent(lifeline=LIFELINE))
    assert (done.already_standing, done.observation) == (True, first.observation)
    assert again.release(done).restored


def test_a_plan_that_has_nothing_left_to_do_is_the_plan_of_what_stands(pair: Pair) -> None:
    agent = pair.agent()
    first = agent.isolate(agent.intent(lifeline=LIFELINE))
    nothing = plan_isolation(agent.observe(), agent.intent(lifeline=LIFELINE))
    assert nothing.empty
    again = agent.isolate(agent.intent(lifeline=LIFELINE), change=nothing)
    assert (again.already_standing, again.change) == (True, first.change)


def test_only_a_lifeline_that_was_never_proven_lifts_what_is_taken_over(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    crashing = Crashing(monkeypatch)
    agent = crashing.watch(pair.agent())
    crashing.after(2)
    with crashed(agent):
        agent.isolate(agent.intent(lifeline=(DEAD,)))
    assert pair.talks() == CUT
    again = pair.agent()
    assert again.isolate(again.intent(lifeline=(DEAD,))).rolled_back
    assert pair.talks() == OPEN
    proven = again.isolate(again.intent(lifeline=LIFELINE))
    monkeypatch.setattr("activities.host.isolation.is_alive", lambda *_: False)
    assert not again.isolate(again.intent(lifeline=LIFELINE)).rolled_back
    assert pair.talks() == CUT
    again.release(proven)


def test_another_lifeline_takes_the_place_of_the_one_that_stands(pair: Pair) -> None:
    agent = pair.agent()
    first = agent.isolate(agent.intent(lifeline=LIFELINE[:1]))
    again = agent.isolate(agent.intent(lifeline=LIFELINE[1:]))
    assert (again.already_standing, again.observation, again.rolled_back) == (False, first.observation, False)
    assert [m.result for m in again.lifeline] == ["open"]


def test_a_mode_that_was_widened_is_renewed_and_released_as_wide_as_it_is(pair: Pair) -> None:
    agent = pair.agent()
    before = agent.observe()
    narrow = agent.isolate(agent.intent(lifeline=LIFELINE).model_copy(update={"mode": EgressOnly()}))
    wide = agent.isolate(agent.intent(lifeline=LIFELINE).model_copy(update={"mode": ISOLATE_ALL}))
    assert (wide.observation, pair.talks()) == (before, CUT)
    assert agent.renew(narrow.change, 60).standing
    assert agent.ruleset().holds(wide.change)
    assert agent.release(narrow).restored
    assert agent.observe() == before


def test_an_order_that_nft_refuses_leaves_the_journal_as_it_was(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    # A device that goes away between a look and the batch, again and again: the look is a mock.
    def with_ghost() -> Links:
        links = read_links()
        return Links((*links.interfaces, Interface(name="ghost0", ifindex=99)), links.bridges)

    def refused(agent: Agent) -> str | None:
        with monkeypatch.context() as patch:
            patch.setattr("activities.host.observe.read_links", with_ghost)
            with pytest.raises(NftRefused):
                agent.isolate(agent.intent(lifeline=LIFELINE))
        return agent.journal.standing(TABLE)

    agent = pair.agent()
    assert refused(agent) is None
    agent.isolate(agent.intent(lifeline=LIFELINE).model_copy(update={"mode": EgressOnly()}))
    record = agent.journal.standing(TABLE)
    assert refused(agent) == record is not None
