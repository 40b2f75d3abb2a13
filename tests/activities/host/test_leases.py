"""The dead-man in the kernel, its renewal, and the release that puts back what stood before."""

import time

import pytest

from activities.host.ownership import ForeignChange
from lab.network import Lab
from lab.topology import APP_PORT, DB_PORT, HEALTH_PORT
from lab.waiting import wait_until
from playbooks.host_isolation import HostChange, table_name
from tests.activities.host.agents import Agent, Agents
from tests.activities.host.traffic import connects


def test_an_open_lease_lifts_by_itself_and_a_closed_or_a_renewed_one_holds(lab: Lab, agents: Agents) -> None:
    web, app, db = agents["web"], agents["app"], agents["db"]
    closed = app.isolate(app.intent(lease=1, ends="closed"))
    renewed = db.isolate(db.intent(lease=1))
    assert db.renew(renewed.change, 60).standing
    web.isolate(web.intent(lease=2))
    begun = time.monotonic()
    for agent in (web, app, db):
        agent.nft.close()  # no process of ours lives on
    assert not connects(lab["batch"], lab["web"].ipv4, HEALTH_PORT)
    wait_until(lambda: connects(lab["batch"], lab["web"].ipv4, HEALTH_PORT), 4, "the dead-man to lift the isolation")
    assert 1 < time.monotonic() - begun < 3
    assert connects(lab["batch"], lab["web"].ipv6, HEALTH_PORT)
    assert not connects(lab["batch"], lab["app"].ipv4, APP_PORT)
    assert not connects(lab["batch"], lab["db"].ipv4, DB_PORT)
    assert app.ruleset().holds(closed.change)


def test_a_flushed_isolation_is_loaded_again_by_its_renewal(lab: Lab, web: Agent) -> None:
    done = web.isolate()
    for family in ("inet", "netdev"):
        web.host.run(["nft", "delete", "table", family, done.change.table])
    assert connects(lab["web"], lab["app"].ipv4, APP_PORT)
    assert not web.renew(done.change, 30).standing
    assert not connects(lab["web"], lab["app"].ipv4, APP_PORT)
    assert 25 <= remaining_seconds(web, done.change) <= 30


def test_a_renewal_gives_the_new_lease_its_whole_time(web: Agent) -> None:
    done = web.isolate(web.intent(lease=5))
    renewed = web.renew(done.change, 600)
    assert renewed.standing
    assert 595 <= remaining_seconds(web, done.change) <= 600


def test_renewing_a_closed_lease_leaves_it_as_it_is(web: Agent) -> None:
    done = web.isolate(web.intent(ends="closed"))
    assert web.renew(done.change, 60).standing
    assert web.ruleset().holds(done.change)


def test_a_device_that_went_away_does_not_end_the_lease(lab: Lab, web: Agent) -> None:
    web.host.run(["ip", "link", "add", "gone0", "type", "veth", "peer", "name", "gone1"])
    done = web.isolate()
    web.host.run(["ip", "link", "delete", "gone0"])
    assert web.renew(done.change, 30).standing
    assert 25 <= remaining_seconds(web, done.change) <= 30
    assert not connects(lab["web"], lab["app"].ipv4, APP_PORT)
    assert web.release(done).restored


def test_a_device_that_came_later_is_held_from_the_next_renewal_on(web: Agent) -> None:
    done = web.isolate()
    web.host.run(["ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1"])
    try:
        assert web.renew(done.change, 30).standing
        loaded = web.host.run(["nft", "list", "table", "netdev", done.change.table]).stdout
    finally:
        web.host.run(["ip", "link", "delete", "late0"])
    assert 'device "late0"' in loaded
    assert 'device "eth0"' in loaded


def test_release_restores_the_ruleset_that_stood_before(lab: Lab, web: Agent) -> None:
    before = web.observe()
    done = web.isolate()
    released = web.release(done)
    assert (released.restored, released.was_standing, released.drift) == (True, True, ())
    assert web.observe() == before
    assert connects(lab["web"], lab["app"].ipv4, APP_PORT)


def test_releasing_twice_is_releasing_once(web: Agent) -> None:
    done = web.isolate()
    web.release(done)
    again = web.release(done)
    assert (again.restored, again.was_standing) == (True, False)


def test_release_leaves_what_others_changed_meanwhile_and_names_it(web: Agent) -> None:
    done = web.isolate()
    web.host.run(
        [
            "nft",
            "add",
            "rule",
            "inet",
            "segmentation",
            "input",
            "tcp",
            "dport",
            "22",
            "accept",
            "comment",
            "late",
        ]
    )
    web.host.run(["nft", "add", "table", "ip", "others"])
    try:
        released = web.release(done)
        assert not released.restored
        assert released.drift == ("chain inet segmentation input differs", "table ip others is new")
        assert "late" in web.host.run(["nft", "list", "ruleset"]).stdout
    finally:
        remove_rule(web, "late")
        web.host.run(["nft", "delete", "table", "ip", "others"])


def test_an_order_that_would_touch_another_table_is_refused(web: Agent) -> None:
    done = web.isolate()
    foreign = ({"delete": {"table": {"family": "inet", "name": "segmentation"}}},)
    for change in (
        done.change.model_copy(update={"undo": foreign}),
        done.change.model_copy(update={"commands": ({"flush": {"ruleset": None}},)}),
        done.change.model_copy(update={"table": "segmentation"}),
    ):
        with pytest.raises(ForeignChange):
            web.release(done.model_copy(update={"change": change}))
        with pytest.raises(ForeignChange):
            web.renew(change, 60)
    assert web.ruleset().holds(done.change)


def remaining_seconds(agent: Agent, change: HostChange) -> int:
    """What is left on the dead-man's clock of every element."""
    listed = agent.inside(agent.nft.list_ruleset)
    sets = [entry["set"] for entry in listed if entry.get("set", {}).get("table") == change.table]
    left = {element["elem"]["expires"] for found in sets for element in found["elem"]}
    assert {found["family"] for found in sets} == {"inet", "netdev"}
    assert change.table == table_name(change.incident_id)
    return min(left) if max(left) - min(left) <= 1 else -1


def remove_rule(agent: Agent, comment: str) -> None:
    for line in agent.host.run(["nft", "-a", "list", "chain", "inet", "segmentation", "input"]).stdout.splitlines():
        if f'"{comment}"' in line:
            handle = line.rpartition("# handle ")[2]
            agent.host.run(["nft", "delete", "rule", "inet", "segmentation", "input", "handle", handle])
