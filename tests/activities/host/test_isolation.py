"""What an isolated host can still do: nothing but talk to its lifeline."""

import errno
import os
import signal
from ipaddress import ip_address

import pytest
from hypothesis import HealthCheck, given, settings

from activities.host.nft import NftUnavailable
from activities.host.ownership import ForeignChange
from activities.host.planning import PlanStale
from lab.network import Lab
from lab.topology import APP_PORT, HEALTH_PORT
from playbooks.host_isolation import IsolationIntent, LifelineEndpoint, plan_isolation, table_name
from tests.activities.host.agents import LIFELINE, LIFELINE_PORT, Agent
from tests.activities.host.traffic import connects, datagrams_heard, frames_heard, sessions
from tests.playbooks.test_host_isolation import intents

DEAD_END = LifelineEndpoint(purpose="temporal", address=LIFELINE[0].address, port=7999)


def test_the_rules_alone_cut_established_sessions(lab: Lab, web: Agent) -> None:
    change = plan_isolation(web.observe(), web.intent())
    with (
        sessions(lab["web"], lab["app"], APP_PORT) as out,
        sessions(lab["app"], lab["web"], HEALTH_PORT) as into,
    ):
        web.inside(lambda: web.nft.apply(change.commands))
        assert [session.answers() for session in (*out, *into)] == [False] * 4
        assert [session.error() for session in (*out, *into)] == [0] * 4


def test_isolation_ends_the_sockets_of_established_sessions(lab: Lab, web: Agent) -> None:
    with sessions(lab["web"], lab["app"], APP_PORT) as out:
        done = web.isolate()
        assert [session.error() for session in out] == [errno.ECONNABORTED] * 2
    assert done.sockets_destroyed >= 2
    assert done.connections_deleted >= 2


def test_isolation_names_the_processes_whose_sessions_it_ended(lab: Lab, web: Agent) -> None:
    with sessions(lab["app"], lab["web"], HEALTH_PORT):
        done = web.isolate()
    (service,) = (ref for ref in done.cut_off if "lab.services" in ref.command)
    assert {remote.rpartition(":")[0] for remote in service.sockets} == {
        lab["app"].ipv4,
        f"[{lab['app'].ipv6}]",
    }


def test_isolation_cuts_new_connections_in_both_directions(lab: Lab, web: Agent) -> None:
    pairs = [(lab["web"], lab["app"], APP_PORT), (lab["app"], lab["web"], HEALTH_PORT)]
    tries = [(a, address, port) for a, b, port in pairs for address in (b.ipv4, b.ipv6)]
    assert all(connects(*attempt) for attempt in tries)
    web.isolate()
    assert not any(connects(*attempt) for attempt in tries)


def test_isolation_silences_datagrams_and_raw_frames(lab: Lab, web: Agent) -> None:
    assert datagrams_heard(lab["web"], lab["app"]) == 10
    assert frames_heard(lab["web"], lab["app"]) == 10
    web.isolate()
    assert datagrams_heard(lab["web"], lab["app"]) == 0
    assert frames_heard(lab["web"], lab["app"]) == 0


def test_isolation_leaves_the_lifeline_and_the_host_itself_alone(lab: Lab, web: Agent) -> None:
    done = web.isolate()
    assert [(m.aspect, m.result) for m in done.lifeline] == [("lifeline", "open")] * 2
    assert all(connects(lab["web"], str(endpoint.address), LIFELINE_PORT) for endpoint in LIFELINE)
    assert connects(lab["web"], lab["web"].ipv4, HEALTH_PORT)
    assert not connects(lab["web"], lab.gateway_ipv4, LIFELINE_PORT + 1)


def test_isolation_is_of_one_host_only(lab: Lab, web: Agent) -> None:
    with sessions(lab["batch"], lab["app"], APP_PORT) as others:
        web.isolate()
        assert all(session.answers() for session in others)


def test_everything_of_the_change_is_read_back(web: Agent) -> None:
    done = web.isolate()
    assert done.read_back
    assert web.ruleset().holds(done.change)
    assert set(done.steps_ms) == {
        "observed",
        "journalled",
        "applied",
        "read-back",
        "lifeline",
        "sessions-ended",
    }


def test_a_repeated_order_applies_once_and_tells_what_stood_before_the_first(web: Agent) -> None:
    first = web.isolate(order_id="order-a")
    web.host.run(["nft", "add", "table", "inet", "somebody_elses"])
    try:
        again = web.isolate(order_id="order-a")
    finally:
        web.host.run(["nft", "delete", "table", "inet", "somebody_elses"])
    assert not first.already_standing
    assert again.already_standing
    assert again.observation == first.observation
    assert again.applied_at == first.applied_at
    assert again.change == first.change


def test_an_expired_table_does_not_pass_for_an_isolation(lab: Lab, web: Agent) -> None:
    done = web.isolate()
    web.host.run(["nft", "delete", "element", "inet", done.change.table, "armed", "{ ipv4, ipv6 }"])
    assert web.observe().firebreak_tables == ()
    again = web.isolate()
    assert not again.already_standing
    assert not connects(lab["web"], lab["app"].ipv4, APP_PORT)


def test_a_rule_that_somebody_put_into_our_table_is_noticed(lab: Lab, web: Agent) -> None:
    done = web.isolate()
    web.host.run(["nft", "insert", "rule", "inet", done.change.table, "output", "accept"])
    assert not web.isolate().already_standing
    assert web.ruleset().holds(done.change)


def test_an_approved_plan_is_refused_when_the_host_has_changed(lab: Lab, web: Agent) -> None:
    approved = plan_isolation(web.observe(), web.intent())
    web.host.run(["ip", "link", "add", "later0", "type", "veth", "peer", "name", "later1"])
    try:
        with pytest.raises(PlanStale):
            web.isolate(change=approved)
    finally:
        web.host.run(["ip", "link", "delete", "later0"])
    assert web.ruleset().our_tables == ()
    assert not web.isolate(change=approved).already_standing
    assert web.isolate(change=approved).already_standing


def test_a_dead_lifeline_lifts_the_change_at_once(lab: Lab, web: Agent) -> None:
    before = web.observe()
    with sessions(lab["web"], lab["app"], APP_PORT) as out:
        done = web.isolate(web.intent(lifeline=(DEAD_END,)))
        assert all(session.answers() for session in out)
    assert done.rolled_back
    assert [m.result for m in done.lifeline] == ["cut"]
    assert web.observe().ruleset_digest == before.ruleset_digest
    assert web.ruleset().our_tables == ()


def test_one_living_endpoint_of_the_control_plane_is_enough(web: Agent) -> None:
    done = web.isolate(web.intent(lifeline=(DEAD_END, LIFELINE[1])))
    assert not done.rolled_back
    assert [m.result for m in done.lifeline] == ["cut", "open"]


def test_a_dead_lifeline_does_not_lift_what_an_earlier_order_has_proven(lab: Lab, web: Agent) -> None:
    dead = web.intent(lifeline=(DEAD_END,))
    change = plan_isolation(web.observe(), dead)
    web.inside(lambda: web.nft.apply(change.commands))
    again = web.isolate(dead)
    assert again.already_standing
    assert not again.rolled_back
    assert not connects(lab["web"], lab["app"].ipv4, APP_PORT)


def test_an_order_for_another_host_is_refused(web: Agent, app: Agent) -> None:
    with pytest.raises(ForeignChange):
        web.isolate(app.intent())
    assert web.ruleset().our_tables == ()


def test_an_interface_with_a_strange_name_is_isolated_too(lab: Lab, web: Agent) -> None:
    web.host.run(["ip", "link", "add", "a.b-_@1", "type", "veth", "peer", "name", "peer1"])
    try:
        done = web.isolate()
    finally:
        web.host.run(["ip", "link", "delete", "peer1"])
    assert "a.b-_@1" in done.change.devices
    assert done.read_back


def test_a_name_that_no_rule_can_carry_does_not_keep_a_host_from_being_isolated(lab: Lab, web: Agent) -> None:
    web.host.run(["ip", "link", "add", 'x"{', "type", "veth", "peer", "name", "peer1"])
    try:
        done = web.isolate()
    finally:
        web.host.run(["ip", "link", "delete", "peer1"])
    assert done.read_back
    assert "peer1" in done.change.devices


def test_two_incidents_isolate_one_host_independently(lab: Lab, web: Agent) -> None:
    first, second = web.isolate(web.intent(incident="inc-1")), web.isolate(web.intent(incident="inc-2"))
    assert web.ruleset().our_tables == (table_name("inc-1"), table_name("inc-2"))
    assert web.release(first).restored
    assert not connects(lab["web"], lab["app"].ipv4, APP_PORT)
    assert web.release(second).restored
    assert connects(lab["web"], lab["app"].ipv4, APP_PORT)


def test_a_lifeline_of_datagrams_alone_is_not_held_to_be_dead(web: Agent) -> None:
    resolver = LifelineEndpoint(purpose="dns", address=ip_address("10.78.0.1"), port=53, protocol="udp")
    intent = IsolationIntent(
        incident_id="inc-1", host_id=web.host_id, lifeline=(resolver,), lease_seconds=60, ends="open"
    )
    done = web.isolate(intent)
    assert done.lifeline == ()
    assert not done.rolled_back


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(intents)
def test_every_plan_is_one_that_nft_accepts_and_reads_back(web: Agent, intent: IsolationIntent) -> None:
    # At least a minute, or the dead-man lets go before the ruleset is read back.
    lasting = intent.model_copy(update={"lease_seconds": max(60, intent.lease_seconds)})
    change = plan_isolation(web.observe(), lasting)
    before = web.ruleset().digest
    web.inside(lambda: web.nft.apply(change.commands))
    loaded = web.ruleset()
    web.inside(lambda: web.nft.apply(change.inverse().commands))
    assert loaded.holds(change)
    assert loaded.digest == before == web.ruleset().digest
    assert web.ruleset().our_tables == ()


def test_an_order_that_failed_before_its_change_can_be_given_again(lab: Lab, web: Agent) -> None:
    before = web.observe()
    web.inside(web.nft.start)
    web.nft._timeout_seconds = 0.2
    hung = list(web.nft._waiting)
    for process in hung:
        os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(NftUnavailable):
        web.isolate(order_id="order-b")
    web.nft._timeout_seconds = 15
    for process in hung:
        process.kill()
        process.wait()
    assert connects(lab["web"], lab["app"].ipv4, APP_PORT)
    again = web.isolate(order_id="order-b")
    assert (again.already_standing, again.read_back, again.observation) == (False, True, before)
