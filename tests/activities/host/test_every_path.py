"""Whatever path a session takes through an isolated host, its packets stop: both ways, by the rules alone."""

import contextlib
import socket
from collections.abc import Iterator
from functools import partial

import pytest

from lab.entering import within
from lab.network import Lab
from lab.policy import ruleset_for
from lab.topology import APP_PORT, HOSTS_BY_NAME
from lab.waiting import wait_until
from playbooks.host_isolation import plan_isolation
from tests.activities.host.agents import LIFELINE_PORT, Agent
from tests.activities.host.behind import BRIDGED, bridged
from tests.activities.host.pair import CUT, HOST, LIFELINE, OPEN, PEER, Pair, run
from tests.activities.host.paths import INNER, Talk, container, talks, ways
from tests.activities.host.traffic import SILENCE_SECONDS, connects, frames_heard

PORT, FRAMES = 9600, 10
NEITHER = (False, False)


@pytest.fixture(autouse=True, scope="module")
def open_policy(lab: Lab) -> Iterator[None]:
    """Everybody may talk to everybody: what stops is stopped by the isolation."""
    for host in lab.hosts.values():
        host.run(["nft", "insert rule inet segmentation input accept"])
    yield
    for host in lab.hosts.values():
        anew = "add table inet segmentation\ndelete table inet segmentation\n"
        host.run(["nft", "-f", "-"], stdin=anew + ruleset_for(HOSTS_BY_NAME[host.name]))


def raw_socket(kind: int) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
    made.bind(("eth0", kind))
    made.settimeout(SILENCE_SECONDS)
    return made


def frames_crossing(sender: socket.socket, receiver: socket.socket, kind: int) -> int:
    """How many broadcast frames of an ethertype get from one port of the bridge to the other."""
    frame = b"\xff" * 6 + sender.getsockname()[4] + kind.to_bytes(2, "big") + b"of nobody's protocol".ljust(60)
    for _ in range(FRAMES):
        sender.send(frame)
    heard = 0
    with contextlib.suppress(TimeoutError):
        while heard < FRAMES:
            heard += receiver.recv(200)[6:12] == frame[6:12]
    return heard


def assert_cut(agent: Agent, opened: list[Talk]) -> None:
    """By the rules alone, and after everything else that an isolation does too."""
    change = plan_isolation(agent.observe(), agent.intent())
    agent.inside(lambda: agent.nft.apply(change.commands))
    silent = dict.fromkeys((talk.name for talk in opened), NEITHER)
    assert ways(opened) == silent
    done = agent.isolate()
    assert (done.already_standing, done.rolled_back) == (True, False)
    assert ways(opened) == silent


def test_sessions_that_the_host_has_opened(lab: Lab, web: Agent) -> None:
    here, there = lab["web"].namespace, lab["app"].namespace
    to = (lab["app"].ipv4, lab["app"].ipv6)
    with talks(*((kind, here, there, address, PORT) for kind in ("tcp", "udp") for address in to)) as opened:
        assert_cut(web, opened)


def test_sessions_that_others_have_opened_towards_the_host(lab: Lab, web: Agent) -> None:
    here, there = lab["web"].namespace, lab["app"].namespace
    to = (lab["web"].ipv4, lab["web"].ipv6)
    with talks(*((kind, there, here, address, PORT) for kind in ("tcp", "udp") for address in to)) as opened:
        assert_cut(web, opened)


def test_sessions_that_the_host_routes_for_others(lab: Lab, web: Agent) -> None:
    there = lab["app"].namespace
    with container(lab, "web", translated=False) as inner:
        outwards = [
            (kind, inner, there, a, PORT) for kind in ("tcp", "udp") for a in (lab["app"].ipv4, lab["app"].ipv6)
        ]
        inwards = [(kind, there, inner, a, PORT + 1) for kind in ("tcp", "udp") for a in INNER]
        with talks(*outwards, *inwards) as opened:
            assert_cut(web, opened)


def test_sessions_of_a_container_behind_the_address_of_the_host(lab: Lab, web: Agent) -> None:
    there = lab["app"].namespace
    with container(lab, "web", translated=True) as inner:
        to = (lab["app"].ipv4, lab["app"].ipv6)
        with talks(*((kind, inner, there, address, PORT) for kind in ("tcp", "udp") for address in to)) as opened:
            assert {talk.caller for talk in opened} == {lab["web"].ipv4, lab["web"].ipv6}
            assert_cut(web, opened)


def test_a_container_behind_the_host_reaches_nobody_anew(lab: Lab, web: Agent) -> None:
    with container(lab, "web", translated=True) as inner:
        tries = [(inner, address, APP_PORT) for address in (lab["app"].ipv4, lab["app"].ipv6)]
        assert all(connects(*attempt) for attempt in tries)
        web.isolate()
        assert not any(connects(*attempt) for attempt in tries)


@pytest.mark.parametrize("past_qdisc", [False, True])
def test_frames_that_are_sent_past_the_stack(lab: Lab, web: Agent, past_qdisc: bool) -> None:
    assert (
        frames_heard(lab["web"], lab["app"], past_qdisc=past_qdisc) >= 10
    )  # an end of an earlier session may try again
    change = plan_isolation(web.observe(), web.intent())
    web.inside(lambda: web.nft.apply(change.commands))
    assert frames_heard(lab["web"], lab["app"], past_qdisc=past_qdisc) == 0


def test_sessions_that_the_host_bridges(lab: Lab, web: Agent) -> None:
    with (
        bridged(lab, "web") as (left, right),
        talks(*((kind, left, right, BRIDGED[1], PORT) for kind in ("tcp", "udp"))) as opened,
    ):
        assert_cut(web, opened)


@pytest.mark.parametrize("kind", [0x88B5, 0x0800])
def test_frames_that_the_host_bridges(lab: Lab, web: Agent, kind: int) -> None:
    with (
        bridged(lab, "web") as (left, right),
        within(left, lambda: raw_socket(kind)) as sender,
        within(right, lambda: raw_socket(kind)) as receiver,
    ):
        assert frames_crossing(sender, receiver, kind) == FRAMES
        change = plan_isolation(web.observe(), web.intent())
        web.inside(lambda: web.nft.apply(change.commands))
        assert frames_crossing(sender, receiver, kind) == 0


def test_a_host_whose_own_address_is_on_a_bridge_is_cut_and_keeps_its_lifeline(pair: Pair) -> None:
    batch = [
        "link add br0 type bridge mcast_snooping 0",
        "link set br0 up",
        "addr flush dev eth0",
        "link set eth0 master br0",
    ]
    batch += [f"addr add {HOST[0]}/24 dev br0", f"addr add {HOST[1]}/64 dev br0 nodad"]
    run(f"ip -n {pair.inner} -batch -", "\n".join(batch))
    for address in PEER:
        wait_until(partial(connects, pair.host, address, LIFELINE_PORT + 1), 5, "the bridge to forward")
    wait_until(lambda: pair.talks() == OPEN, 5, "both ways")
    agent = pair.agent()
    done = agent.isolate(agent.intent(lifeline=LIFELINE))
    assert [m.result for m in done.lifeline] == ["open", "open"]
    assert pair.talks() == CUT
    assert agent.release(done).restored
