"""An isolation that somebody erases stands again at once, for the time it had left."""

import queue
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.host.drift import RulesetWatcher, Tampering
from activities.host.nft import Nft
from lab.network import Lab
from lab.topology import APP_PORT
from lab.waiting import wait_until
from tests.activities.host.agents import Agent
from tests.activities.host.test_leases import remaining_seconds
from tests.activities.host.traffic import connects

Noticed = queue.SimpleQueue[Tampering]


@pytest.fixture
def noticed() -> Noticed:
    return queue.SimpleQueue()


@pytest.fixture
def watched(lab: Lab, tmp_path: Path, noticed: Noticed) -> Iterator[Agent]:
    """An agent on batch with a watcher."""
    nft = Nft()
    watcher = RulesetWatcher(nft, noticed.put)
    lab["batch"].call(watcher.start)
    agent = Agent(lab["batch"], tmp_path, watcher)
    yield agent
    watcher.close()
    nft.close()
    agent.close()


def test_an_isolation_that_was_deleted_stands_again(lab: Lab, watched: Agent, noticed: Noticed) -> None:
    done = watched.isolate(watched.intent(lease=60))
    watched.host.run(["nft", "delete", "table", "inet", done.change.table])
    tampering = noticed.get(timeout=2)
    assert (tampering.table, tampering.failure) == (done.change.table, "")
    assert watched.ruleset().holds(done.change)
    assert 50 <= remaining_seconds(watched, done.change) <= 60
    assert not connects(lab["batch"], lab["app"].ipv4, APP_PORT)


def test_a_rule_that_undermines_the_isolation_is_removed(watched: Agent, noticed: Noticed) -> None:
    done = watched.isolate()
    watched.host.run(["nft", "insert", "rule", "inet", done.change.table, "output", "accept"])
    assert noticed.get(timeout=2).failure == ""
    assert watched.ruleset().holds(done.change)


def test_what_was_released_stays_released(watched: Agent, noticed: Noticed) -> None:
    done = watched.isolate()
    assert watched.release(done).restored
    watched.host.run(["nft", "add", "table", "inet", "marker"])
    watched.host.run(["nft", "delete", "table", "inet", "marker"])
    observer = watched.killswitch._isolation.observer
    wait_until(lambda: watched.inside(observer._recall) is not None, 10, "the watcher to have looked")
    assert watched.ruleset().our_tables == ()
    assert noticed.empty()


def test_a_lease_that_is_over_is_not_prolonged(lab: Lab, watched: Agent, noticed: Noticed) -> None:
    done = watched.isolate()
    watcher = watched.watcher
    assert isinstance(watcher, RulesetWatcher)
    watcher.hold(done.change, datetime.now(UTC) - timedelta(seconds=1))
    watched.host.run(["nft", "delete", "table", "inet", done.change.table])
    watched.host.run(["nft", "delete", "table", "netdev", done.change.table])
    observer = watched.killswitch._isolation.observer
    wait_until(lambda: watched.inside(observer._recall) is not None, 10, "the watcher to have looked")
    assert connects(lab["batch"], lab["app"].ipv4, APP_PORT)
    assert watched.ruleset().our_tables == ()
    assert noticed.empty()
