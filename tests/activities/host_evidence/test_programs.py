"""Each reviewed program, provoked on a real kernel: attempts, DNS and denials with the kernel's reason."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from activities.contracts.evidence import CollectedItem
from tests.activities.host_evidence.hosts import RECORDER, Agent, Host

pytestmark = pytest.mark.lab
Hosts = tuple[Host, Host]
WITH_EVENTS = {**RECORDER, "kernel_events": True}
DATAGRAM = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
QUERY = bytes.fromhex("123401000001000000000000") + b"\x0aev\xff\\x41 \n.\x07example\x00\x00\x01\x00\x01"


@pytest.fixture(scope="module")
def agent(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with hosts[0].agent(tmp_path_factory.mktemp("agent"), recorder=WITH_EVENTS) as running:
        status = running.ready()
        assert (status.events, status.events_reason) == ("running", "")
        yield running


def item_of(items: tuple[CollectedItem, ...]) -> CollectedItem:
    return next(item for item in items if item.kind == "ebpf-events")


def seen(agent: Agent, incident: str, kind: str) -> list[dict[str, Any]]:
    item = item_of(agent.freeze(incident, 1))
    documents = map(json.loads, agent.artefact(incident, item).read_text().splitlines())
    return [document for document in documents if document["event"] == kind]


def send(host: Host, target: tuple[str, int], content: bytes, *, connected: bool = False) -> None:
    def go() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            if connected:
                link.connect(target)
                link.send(content)
            else:
                link.sendto(content, target)

    host.call(go)


def test_dns_question_shows_with_its_name_and_its_sender(hosts: Hosts, agent: Agent) -> None:
    command = f"{DATAGRAM} s.sendto({QUERY!r}, ('{hosts[1].address}', 53))"
    hosts[0].run("ping", "-c", "1", hosts[1].address, check=False)  # so that the neighbour's address is known
    hosts[0].run("python3", "-c", command)
    (asked,) = [event for event in seen(agent, "asked", "dns") if event["direction"] == "out"]
    assert (asked["name"], asked["type"]) == (r"ev\255\092x41\032\010\046.example.", "A")
    assert (asked["destination"], asked["destination_port"]) == (hosts[1].address, 53)
    started = [e["pid"] for e in seen(agent, "asked-2", "execution") if e["file"].endswith("python3")]
    assert asked["pid"] in started


def test_dns_answer_that_arrives_shows_too(hosts: Hosts, agent: Agent) -> None:
    def answer() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.bind((hosts[1].address, 53))
            link.sendto(QUERY[:2] + b"\x81\x83" + QUERY[4:] + b"x" * 500, (hosts[0].address, 40_000))

    hosts[1].call(answer)
    (answered,) = [event for event in seen(agent, "answered", "dns") if event["direction"] == "in"]
    assert (answered["answer"], answered["code"], answered["source"]) == (True, 3, hosts[1].address)
    assert answered["size"] == len(QUERY) + 500


def test_connect_of_a_datagram_socket_is_an_attempt(hosts: Hosts, agent: Agent) -> None:
    send(hosts[0], (hosts[1].address, 4444), b"x", connected=True)
    tried = [event for event in seen(agent, "tried", "attempt") if event["destination_port"] == 4444]
    assert [(event["destination"], event["uid"]) for event in tried] == [(hosts[1].address, 0)]


def by_nftables(host: Host) -> Callable[[], Any]:
    host.run("nft", "add table inet t; add chain inet t i { type filter hook input priority 0; };"
             " add rule inet t i udp dport 4445 drop")  # fmt: skip
    return lambda: host.run("nft", "delete table inet t")


def by_reverse_path(host: Host) -> Callable[[], Any]:
    host.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/eth0/rp_filter")
    host.run("ip", "route", "add", "unreachable", "203.0.113.0/24")

    def undo() -> None:
        host.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/conf/eth0/rp_filter")
        host.run("ip", "route", "del", "unreachable", "203.0.113.0/24")

    return undo


@pytest.mark.parametrize(
    ("block", "source", "reason"),
    [(by_nftables, "", "NETFILTER_DROP"), (by_reverse_path, "203.0.113.7", "IP_RPFILTER")],
)
def test_denied_packet_has_the_kernels_reason(
    hosts: Hosts, agent: Agent, block: Callable[[Host], Callable[[], Any]], source: str, reason: str
) -> None:
    left, right = hosts
    undo = block(left)
    if source:
        right.run("ip", "addr", "add", f"{source}/32", "dev", "lo")
    try:
        with_source = f"s.bind(('{source}', 0));" if source else ""
        code = f"{DATAGRAM} {with_source} s.sendto(b'x', ('{left.address}', 4445))"
        right.run("python3", "-c", code)
        denied = [e for e in seen(agent, f"denied-{reason.lower()}", "denial") if e["destination_port"] == 4445]
    finally:
        undo()
        right.run("ip", "addr", "del", f"{source}/32", "dev", "lo", check=False)
    assert [event["reason"] for event in denied if source in (event["source"], "")] == [reason]


def test_time_in_which_bpftrace_did_not_run_is_a_gap(hosts: Hosts, tmp_path: Path) -> None:
    with hosts[0].agent(tmp_path, recorder=WITH_EVENTS) as agent:
        assert agent.ready().events == "running"
        hosts[0].run("/usr/bin/id")
        time.sleep(0.2)  # bpftrace tells in batches
        agent.kill()
    hosts[0].run("/usr/bin/env")
    with hosts[0].agent(tmp_path, recorder=WITH_EVENTS) as restarted:
        assert restarted.ready().events == "running"
        hosts[0].run("/usr/bin/id")
        time.sleep(0.2)
        item = item_of(restarted.freeze("inc-1", 1))
    text = restarted.artefact("inc-1", item).read_text()
    assert text.count("/usr/bin/id") == 2
    assert "/usr/bin/env" not in text
    (gap,) = item.acquisition.gaps
    assert (gap.reason, gap.ended > gap.started) == ("bpftrace did not run", True)


def test_events_beyond_what_is_told_are_a_gap(hosts: Hosts, agent: Agent) -> None:
    flood = f"{DATAGRAM}\nfor n in range(2500): s.connect(('{hosts[1].address}', 4446))"
    hosts[0].run("python3", "-c", flood)
    time.sleep(1.1)  # told with the first of a later second
    hosts[0].run("python3", "-c", flood.replace("2500", "1"))
    item = item_of(agent.freeze("flooded", 1))
    assert item.acquisition.events_lost == pytest.approx(1500, abs=1000)
    assert any("events lost or left out" in gap.reason for gap in item.acquisition.gaps)
