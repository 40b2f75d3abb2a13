"""An observation is of now, also where the ruleset is known from before."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from activities.host.drift import RulesetWatcher
from activities.host.nft import Nft
from lab.network import Lab
from lab.waiting import wait_until
from tests.activities.host.agents import Agent


@pytest.fixture
def marker(web: Agent) -> Iterator[list[str]]:
    yield ["table", "inet", "marker"]
    web.host.run(["nft", "delete", "table", "inet", "marker"], check=False)


@pytest.fixture
def listings(web: Agent, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every listing of the ruleset."""
    counted: list[int] = []
    list_ruleset = web.nft.list_ruleset

    def counting() -> list[dict[str, Any]]:
        counted.append(1)
        return list_ruleset()

    monkeypatch.setattr(web.nft, "list_ruleset", counting)
    return counted


def test_a_known_ruleset_is_not_listed_again(web: Agent, listings: list[int]) -> None:
    web.inside(web.killswitch.warm)
    known = len(listings)
    web.observe()
    assert len(listings) == known > 0


def test_a_ruleset_that_changed_is_listed_again(web: Agent, marker: list[str]) -> None:
    before = web.observe()
    web.host.run(["nft", "add", *marker])
    after = web.observe()
    assert after.ruleset_digest != before.ruleset_digest
    assert "table inet marker" in after.ruleset_outline


def test_a_table_of_ours_is_looked_at_every_time(web: Agent, listings: list[int]) -> None:
    done = web.isolate()
    assert web.observe().firebreak_tables == (done.change.table,)
    known = len(listings)
    web.observe()
    assert len(listings) > known


def test_the_watcher_has_the_ruleset_known_again_after_a_change(lab: Lab, tmp_path: Path) -> None:
    nft = Nft()
    watcher = RulesetWatcher(nft, lambda _: None)
    agent = Agent(lab["batch"], tmp_path, watcher)
    lab["batch"].call(watcher.start)
    observer = agent.killswitch._isolation.observer
    wait_until(lambda: agent.inside(observer._recall) is not None, 10, "the ruleset to be known from the start")
    agent.host.run(["nft", "add", "table", "inet", "marker"])
    try:
        wait_until(lambda: agent.inside(observer._recall) is not None, 10, "the changed ruleset to be known")
        assert "table inet marker" in agent.observe().ruleset_outline
    finally:
        agent.host.run(["nft", "delete", "table", "inet", "marker"])
        watcher.close()
        nft.close()
        agent.close()


def test_the_interfaces_are_those_of_the_host_with_their_addresses(lab: Lab, web: Agent) -> None:
    found = {interface.name: interface for interface in web.observe().interfaces}
    assert set(found) == {"lo", "eth0", "mgmt0"}
    assert {str(a) for a in found["eth0"].addresses} == {lab["web"].ipv4, lab["web"].ipv6}
    assert found["eth0"].mac == "02:fb:00:77:00:0b"
