"""A narrower mode cuts what it names, established sessions too, and leaves alone what it does not."""

import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, given, settings

from activities.contracts.host import Isolated
from activities.host import conntrack
from activities.host.aftermath import end_sessions
from activities.host.interfaces import read_interfaces
from activities.host.planning import OtherModeStands
from lab.host import LabHost
from lab.network import Lab
from lab.policy import ruleset_for
from lab.topology import APP_PORT, DB_PORT, HEALTH_PORT, HOSTS_BY_NAME
from playbooks.host_isolation import IsolationIntent, plan_isolation
from playbooks.isolation_modes import (
    ISOLATE_ALL,
    BlockPeer,
    BlockPort,
    EgressOnly,
    Isolate,
    Mode,
    Network,
    Reach,
    Service,
)
from tests.activities.host.agents import LIFELINE, Agent
from tests.activities.host.datagrams import conversations
from tests.activities.host.traffic import Session, connects, frames_heard, sessions
from tests.playbooks.test_isolation_modes import partial_intents

UDP_PORT = 9100


@pytest.fixture(autouse=True, scope="module", params=["tracked", "untracked"])
def open_policy(lab: Lab, request: pytest.FixtureRequest) -> Iterator[None]:
    """Everybody may talk to everybody, so that only a mode cuts; once with sessions that nobody had tracked before."""
    rule = "insert rule inet segmentation input accept" if request.param == "tracked" else ""
    for host in (lab[name] for name in HOSTS_BY_NAME):
        host.run(["nft", *(rule or "delete table inet segmentation").split()])
    yield
    for host in (lab[name] for name in HOSTS_BY_NAME):
        anew = "add table inet segmentation\ndelete table inet segmentation\n"
        host.run(["nft", "-f", "-"], stdin=anew + ruleset_for(HOSTS_BY_NAME[host.name]))


def networks(host: LabHost) -> tuple[Network, Network]:
    return (ip_network(host.ipv4), ip_network(host.ipv6))


def allowing(host: LabHost, service: Service | None = None) -> Isolate:
    return Isolate(allow=tuple(Reach(peers=network, service=service) for network in networks(host)))


def isolate(agent: Agent, mode: Mode) -> Isolated:
    done = agent.isolate(agent.intent().model_copy(update={"mode": mode}))
    assert (done.read_back, done.rolled_back, done.detail) == (True, False, "")
    return done


def alive(*opened: Session) -> list[bool]:
    return [session.answers() for session in opened]


@contextlib.contextmanager
def everything(lab: Lab) -> Iterator[dict[str, tuple[Session, Session]]]:
    """Sessions of web with two peers, opened by it and towards it."""
    with (
        sessions(lab["web"], lab["app"], APP_PORT) as to_app,
        sessions(lab["web"], lab["db"], DB_PORT) as to_db,
        sessions(lab["app"], lab["web"], HEALTH_PORT) as from_app,
        sessions(lab["db"], lab["web"], HEALTH_PORT) as from_db,
    ):
        yield {"to_app": to_app, "to_db": to_db, "from_app": from_app, "from_db": from_db}


def test_a_blocked_peer_is_cut_and_others_keep_their_sessions(lab: Lab, web: Agent) -> None:
    with (
        everything(lab) as opened,
        conversations(lab["web"], lab["app"], UDP_PORT) as with_app,
        conversations(lab["web"], lab["db"], UDP_PORT) as with_db,
    ):
        done = isolate(web, BlockPeer(peers=networks(lab["app"])))
        assert [session.error() for session in opened["to_app"]] == [errno.ECONNABORTED] * 2
        assert alive(*opened["to_app"], *opened["from_app"]) == [False] * 4
        assert alive(*opened["to_db"], *opened["from_db"]) == [True] * 4
        assert [talk.answers() for talk in (*with_app, *with_db)] == [False, False, True, True]
        assert [talk.answered() for talk in with_app] == [False, False]
    assert not connects(lab["web"], lab["app"].ipv4, APP_PORT)
    assert not connects(lab["app"], lab["web"].ipv6, HEALTH_PORT)
    assert connects(lab["web"], lab["db"].ipv4, DB_PORT)
    assert web.release(done).restored
    assert connects(lab["web"], lab["app"].ipv4, APP_PORT)


def test_a_peer_that_is_blocked_over_one_family_keeps_the_other(lab: Lab, web: Agent) -> None:
    with sessions(lab["web"], lab["app"], APP_PORT) as (over_ipv4, over_ipv6):
        isolate(web, BlockPeer(peers=(ip_network(lab["app"].ipv4),)))
        assert alive(over_ipv4, over_ipv6) == [False, True]


def test_raw_frames_to_a_blocked_peer_are_cut(lab: Lab, web: Agent) -> None:
    isolate(web, BlockPeer(peers=networks(lab["app"])))
    assert frames_heard(lab["web"], lab["app"]) == 0
    assert frames_heard(lab["web"], lab["db"]) == 10


def test_an_allowed_peer_keeps_its_sessions_when_the_rest_is_cut(lab: Lab, web: Agent) -> None:
    with (
        everything(lab) as opened,
        conversations(lab["web"], lab["app"], UDP_PORT) as with_app,
        conversations(lab["web"], lab["db"], UDP_PORT) as with_db,
    ):
        isolate(web, allowing(lab["db"]))
        assert alive(*opened["to_app"], *opened["from_app"]) == [False] * 4
        assert alive(*opened["to_db"], *opened["from_db"]) == [True] * 4
        assert [talk.answers() for talk in (*with_app, *with_db)] == [False, False, True, True]
    assert not connects(lab["batch"], lab["web"].ipv4, HEALTH_PORT)
    assert connects(lab["db"], lab["web"].ipv6, HEALTH_PORT)


def test_an_allowed_port_keeps_its_sessions_and_no_other_of_its_peer(lab: Lab, web: Agent) -> None:
    with everything(lab) as opened:
        isolate(web, allowing(lab["db"], Service(port=HEALTH_PORT, direction="in")))
        assert alive(*opened["from_db"]) == [True, True]
        assert alive(*opened["to_db"], *opened["to_app"], *opened["from_app"]) == [False] * 6
    assert connects(lab["db"], lab["web"].ipv4, HEALTH_PORT)
    assert not connects(lab["web"], lab["db"].ipv4, DB_PORT)


def test_a_blocked_port_is_cut_on_this_host_or_on_its_peers(lab: Lab, web: Agent) -> None:
    with everything(lab) as opened:
        here = isolate(web, BlockPort(services=(Service(port=HEALTH_PORT, direction="in"),)))
        assert alive(*opened["from_app"], *opened["from_db"]) == [False] * 4
        assert alive(*opened["to_app"], *opened["to_db"]) == [True] * 4
        web.release(here)
        isolate(web, BlockPort(services=(Service(port=DB_PORT, direction="out"),)))
        assert alive(*opened["to_app"], *opened["to_db"]) == [True, True, False, False]
    assert connects(lab["app"], lab["web"].ipv4, HEALTH_PORT)
    assert not connects(lab["web"], lab["db"].ipv6, DB_PORT)


def test_a_blocked_port_of_datagrams_leaves_the_other_port_alone(lab: Lab, web: Agent) -> None:
    with (
        conversations(lab["web"], lab["app"], UDP_PORT) as blocked,
        conversations(lab["web"], lab["app"], UDP_PORT + 1) as other,
    ):
        isolate(web, BlockPort(services=(Service(port=UDP_PORT, protocol="udp"),)))
        assert [talk.answers() for talk in (*blocked, *other)] == [False, False, True, True]


def test_egress_only_cuts_what_the_host_opened_and_goes_on_serving(lab: Lab, web: Agent) -> None:
    with everything(lab) as opened, conversations(lab["web"], lab["app"], UDP_PORT) as asking:
        isolate(web, EgressOnly())
        assert [session.error() for session in opened["to_app"]] == [errno.ECONNABORTED] * 2
        assert alive(*opened["to_app"], *opened["to_db"]) == [False] * 4
        assert alive(*opened["from_app"], *opened["from_db"]) == [True] * 4
        assert [talk.answers() for talk in asking] == [False, False]
    assert connects(lab["app"], lab["web"].ipv4, HEALTH_PORT)
    assert not connects(lab["web"], lab["app"].ipv6, APP_PORT)
    with conversations(lab["app"], lab["web"], UDP_PORT) as asked:
        assert all(talk.answers() for talk in asked)


def test_the_aftermath_forgets_the_tracked_connections_of_what_is_cut_alone(lab: Lab, web: Agent) -> None:
    with everything(lab) as opened:
        # Tracking begins with the first rule that looks at a connection's state.
        isolate(web, BlockPort(services=(Service(port=1),)))
        assert all(alive(*(session for pair in opened.values() for session in pair)))
        peers = networks(lab["app"])
        web.inside(lambda: end_sessions(read_interfaces(), LIFELINE, BlockPeer(peers=peers)))
        tracked = web.inside(lambda: {str(f.original.destination) for f in conntrack.list_flows()})
        assert alive(*opened["to_db"], *opened["from_db"]) == [True] * 4
    assert not tracked & {lab["app"].ipv4, lab["app"].ipv6}


def test_a_server_on_an_allowed_port_may_speak_first(lab: Lab, web: Agent) -> None:
    address = (lab["web"].ipv4, 9200)
    with (
        lab["web"].call(lambda: socket.create_server(address)) as listening,
        lab["app"].call(lambda: socket.create_connection(address, timeout=1)) as client,
    ):
        serving, _ = listening.accept()
        with serving:
            isolate(web, allowing(lab["app"], Service(port=9200, direction="in")))
            serving.sendall(b"news")
            assert client.recv(10) == b"news"


def test_flows_that_the_kernel_keeps_do_not_save_others_and_are_told(
    lab: Lab, web: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only a flowtable makes the kernel refuse, and not every kernel here has them: the refusal is a mock.
    delete, kept = conntrack.delete, lab["app"].ipv4

    def refusing(flows: Sequence[conntrack.Flow]) -> int:
        if any(str(flow.original.destination) == kept for flow in flows):
            raise OSError(errno.EBUSY, "busy")
        return delete(flows)

    with everything(lab) as opened:
        isolate(web, BlockPort(services=(Service(port=1),)))
        assert all(alive(*(session for pair in opened.values() for session in pair)))
        monkeypatch.setattr(conntrack, "delete", refusing)
        done = web.isolate()
        left = web.inside(lambda: {str(f.original.destination) for f in conntrack.list_flows()})
    assert "offloaded" in done.detail
    assert "unknown" in done.detail
    assert done.connections_deleted >= 7
    assert kept in left
    assert not left & {lab["app"].ipv6, lab["db"].ipv4, lab["db"].ipv6}


def test_another_mode_does_not_take_the_place_of_one_that_stands_but_isolate_all_does(lab: Lab, web: Agent) -> None:
    isolate(web, BlockPeer(peers=networks(lab["app"])))
    assert isolate(web, BlockPeer(peers=networks(lab["app"]))).already_standing
    with pytest.raises(OtherModeStands):
        isolate(web, BlockPeer(peers=networks(lab["db"])))
    assert not connects(lab["web"], lab["app"].ipv4, APP_PORT)
    wider = isolate(web, ISOLATE_ALL)
    assert not wider.already_standing
    assert not connects(lab["web"], lab["db"].ipv4, DB_PORT)
    with pytest.raises(OtherModeStands):
        isolate(web, EgressOnly())
    assert web.release(wider).restored


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(partial_intents)
def test_every_plan_of_a_mode_is_one_that_nft_accepts_reads_back_and_takes_away(
    web: Agent, intent: IsolationIntent
) -> None:
    lasting = intent.model_copy(update={"lease_seconds": max(60, intent.lease_seconds)})
    change = plan_isolation(web.observe(), lasting)
    before = web.ruleset().digest
    web.inside(lambda: web.nft.apply(change.commands))
    try:
        loaded, standing = web.ruleset(), plan_isolation(web.observe(), lasting)
    finally:
        web.inside(lambda: web.nft.apply(change.inverse().commands))
    assert loaded.holds(change)
    assert standing.empty
    assert before == loaded.digest == web.ruleset().digest
    assert web.ruleset().our_tables == ()
