"""A reboot does not free a host: what stands by the journal stands again, for the time that was left."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from activities.host import reapply
from activities.host.standing import Standings, utc_now
from playbooks.isolation_modes import BlockPort, Service
from tests.activities.host.agents import LIFELINE_PORT, Agent
from tests.activities.host.pair import CUT, LIFELINE, OPEN, PEER, Pair, run
from tests.activities.host.test_leases import remaining_seconds
from tests.activities.host.traffic import connects


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes so many seconds pass by the wall clock before the host comes up again."""

    def pass_by(seconds: int) -> None:
        monkeypatch.setattr(reapply, "utc_now", lambda: _shifted(seconds))

    return pass_by


def _shifted(seconds: int) -> datetime:
    return utc_now() + timedelta(seconds=seconds)


def rebooted(pair: Pair, agent: Agent) -> Agent:
    agent.stop()
    pair.reboot()
    assert pair.talks() == OPEN
    return pair.agent()


def test_a_host_that_was_rebooted_is_cut_again_for_the_time_that_was_left(
    pair: Pair, later: Callable[[int], None]
) -> None:
    assert pair.talks() == OPEN
    agent = pair.agent()
    done = agent.isolate(agent.intent(lease=600, lifeline=LIFELINE))
    assert pair.talks() == CUT
    again = rebooted(pair, agent)
    later(400)
    assert again.resume() == {done.change.table: "loaded"}
    assert pair.talks() == CUT
    assert 190 <= remaining_seconds(again, done.change) <= 200
    assert again.ruleset().holds(done.change)


def test_what_stood_before_the_reboot_is_what_a_release_restores(pair: Pair) -> None:
    agent = pair.agent()
    done = agent.isolate(agent.intent(lifeline=LIFELINE))
    again = rebooted(pair, agent)
    again.resume()
    adopted = again.isolate(again.intent(lifeline=LIFELINE))
    assert adopted.already_standing
    assert (adopted.observation, adopted.applied_at) == (done.observation, done.applied_at)
    assert again.release(adopted).restored
    assert pair.talks() == OPEN


def test_a_lease_that_ran_out_while_the_host_was_off_is_over(pair: Pair, later: Callable[[int], None]) -> None:
    agent = pair.agent()
    done = agent.isolate(agent.intent(lease=60, lifeline=LIFELINE))
    again = rebooted(pair, agent)
    later(60)
    assert again.resume() == {done.change.table: "over"}
    assert pair.talks() == OPEN
    assert again.resume() == {}


def test_a_lease_that_ends_closed_stands_again_however_long_it_took(pair: Pair, later: Callable[[int], None]) -> None:
    agent = pair.agent()
    done = agent.isolate(agent.intent(lease=60, ends="closed", lifeline=LIFELINE))
    again = rebooted(pair, agent)
    later(90 * 86_400)
    assert again.resume() == {done.change.table: "loaded"}
    assert pair.talks() == CUT


def test_a_clock_that_went_back_gives_no_more_than_the_whole_lease(pair: Pair, later: Callable[[int], None]) -> None:
    agent = pair.agent()
    done = agent.isolate(agent.intent(lease=300, lifeline=LIFELINE))
    again = rebooted(pair, agent)
    later(-86_400)
    again.resume()
    assert 295 <= remaining_seconds(again, done.change) <= 300


def test_a_renewed_lease_comes_back_with_its_new_time(pair: Pair) -> None:
    agent = pair.agent()
    done = agent.isolate(agent.intent(lease=60, lifeline=LIFELINE))
    agent.renew(done.change, 900)
    again = rebooted(pair, agent)
    again.resume()
    assert 890 <= remaining_seconds(again, done.change) <= 900


def test_what_was_released_or_rolled_back_does_not_come_back(pair: Pair) -> None:
    agent = pair.agent()
    dead = LIFELINE[0].model_copy(update={"port": 7999})
    assert agent.isolate(agent.intent(incident="inc-2", lifeline=(dead,))).rolled_back
    agent.release(agent.isolate(agent.intent(lifeline=LIFELINE)))
    again = rebooted(pair, agent)
    assert again.resume() == {}
    assert pair.talks() == OPEN


def test_a_narrower_mode_comes_back_as_narrow_as_it_was(pair: Pair) -> None:
    agent = pair.agent()
    mode = BlockPort(services=(Service(port=9000, protocol="udp"),))
    done = agent.isolate(agent.intent(lifeline=LIFELINE).model_copy(update={"mode": mode}))
    assert pair.talks() == CUT
    again = rebooted(pair, agent)
    again.resume()
    assert pair.talks() == CUT
    assert connects(pair.host, PEER[0], LIFELINE_PORT + 1)  # refused by the peer: it was reached
    assert again.ruleset().holds(done.change)


def test_devices_that_come_after_the_rules_are_held_when_the_agent_starts(pair: Pair) -> None:
    agent = pair.agent()
    done = agent.isolate(agent.intent(lifeline=LIFELINE))
    agent.stop()
    pair.power_off()
    run(f"ip netns add {pair.inner}")  # the host boots, and has found no device yet
    early = pair.agent()
    assert early.resume() == {done.change.table: "loaded"}
    assert "netdev" not in early.host.run(["nft", "list", "tables"]).stdout
    early.stop()
    run(f"ip netns del {pair.inner}")
    pair.boot()
    late = pair.agent()
    assert late.resume() == {done.change.table: "loaded"}
    assert late.ruleset().holds(done.change)


def test_what_stands_is_left_as_it_is(pair: Pair) -> None:
    agent = pair.agent()
    done = agent.isolate(agent.intent(lifeline=LIFELINE))
    listed = agent.inside(agent.nft.list_ruleset)
    agent.stop()
    again = pair.agent()
    assert again.resume() == {done.change.table: "standing"}
    assert [e for e in again.inside(again.nft.list_ruleset) if "rule" in e] == [e for e in listed if "rule" in e]


def test_a_record_of_another_host_or_an_unreadable_one_is_told_and_keeps_no_other_from_coming_back(pair: Pair) -> None:
    agent = pair.agent()
    done = agent.isolate(agent.intent(lifeline=LIFELINE))
    standings = Standings(agent.journal)
    mine = standings.find(done.change.table)
    assert mine is not None
    foreign = mine.change.model_copy(update={"host_id": "clone", "table": "firebreak_clone", "incident_id": "clone"})
    standings.keep(mine.model_copy(update={"change": foreign}))
    agent.journal.keep_standing("firebreak_odd", "{}")
    again = rebooted(pair, agent)
    assert again.resume() == {
        done.change.table: "loaded",
        "firebreak_clone": "failed",
        "firebreak_odd": "failed",
    }
    assert pair.talks() == CUT
