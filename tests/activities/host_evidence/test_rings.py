"""The ring when things go wrong around it: filters, interfaces, disks, namespaces, clocks, other tools."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dpkt
import pytest

from activities.contracts.evidence import CollectedItem
from activities.host.capture_tools import FilterInvalid, check_filter
from activities.host.frozen import RecorderStatus
from activities.host.namespaces import NamespaceUnknown, look
from tests.activities.host_evidence.hosts import RECORDER, Agent, Host, Numbered, capinfos, numbers_in

pytestmark = pytest.mark.lab
Hosts = tuple[Host, Host]


def packets(items: tuple[CollectedItem, ...]) -> list[CollectedItem]:
    return [item for item in items if item.kind == "packets"]


def recorder(**packet_settings: Any) -> dict[str, Any]:
    return {**RECORDER, "packets": {**RECORDER["packets"], **packet_settings}}


def wait(condition: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def status_when(agent: Agent, state: str) -> RecorderStatus:
    wait(lambda: agent.status().packets == state)
    return agent.status()


def test_filter_is_checked_with_libpcaps_own_words(hosts: Hosts) -> None:
    place = hosts[0].call(lambda: look("", ("eth0",)))
    hosts[0].call(lambda: check_filter("tcp port 80", place))
    with pytest.raises(FilterInvalid) as refused:
        hosts[0].call(lambda: check_filter("tcp prt 80", place))
    assert "'tcp prt 80'" in refused.value.summary
    assert "syntax error" in refused.value.summary


def test_invalid_filter_is_an_outcome_that_names_it(hosts: Hosts, tmp_path: Path) -> None:
    with hosts[0].agent(tmp_path, recorder=recorder(capture_filter="host and and")) as agent:
        assert agent.status().packets == "failed"
        items = packets(agent.freeze("inc-1", 1) + agent.finish("inc-1", 1))
    assert [item.outcome.state for item in items] == ["failed", "failed"]
    assert all("'host and and'" in item.outcome.reason for item in items)


def test_valid_filter_is_in_the_manifest_and_keeps_the_rest_out(hosts: Hosts, tmp_path: Path) -> None:
    with (
        Numbered(hosts[1], hosts[0], per_second=200) as kept,
        Numbered(hosts[1], hosts[0], per_second=200) as left_out,
        hosts[0].agent(tmp_path, recorder=recorder(capture_filter=f"udp dst port {kept.port}")) as agent,
    ):
        kept.wait_for(kept.sent + 100)
        items = packets(agent.freeze("inc-1", 1))
    files = [agent.artefact("inc-1", item) for item in items if item.storage]
    assert numbers_in(files, kept)
    assert not numbers_in(files, left_out)
    assert items[0].acquisition.filter == f"udp dst port {kept.port}"


@pytest.fixture
def second_link(hosts: Hosts) -> Iterator[Callable[[str], None]]:
    """Adds and removes an interface of the left host."""

    def change(verb: str) -> None:
        peer = ("type", "veth", "peer", "name", "eth7p") if verb == "add" else ()
        hosts[0].run("ip", "link", verb, "eth7", *peer)
        if verb == "add":
            hosts[0].run("ip", "link", "set", "eth7", "up")

    change("add")
    yield change
    hosts[0].run("ip", "link", "del", "eth7", check=False)


def test_ring_goes_on_without_an_interface_that_vanished_and_with_it_again(
    hosts: Hosts, second_link: Callable[[str], None], tmp_path: Path
) -> None:
    with (
        hosts[0].agent(tmp_path, recorder=recorder(interfaces=["eth0", "eth7"])) as agent,
        Numbered(hosts[1], hosts[0], per_second=200) as stream,
    ):
        stream.wait_for(50)
        ring = tmp_path / "state" / "ring"
        second_link("del")
        wait(lambda: len(list(ring.glob("*/begun.json"))) == 2)
        went_on = stream.sent
        stream.wait_for(went_on + 100)
        second_link("add")
        wait(lambda: len(list(ring.glob("*/begun.json"))) == 3)
        stream.wait_for(stream.sent + 100)
        items = packets(agent.freeze("inc-1", 1))
    found = numbers_in([agent.artefact("inc-1", item) for item in items], stream)
    assert set(range(went_on + 10, went_on + 100)) <= found
    assert items[0].source.interface == "eth0,eth7"
    (gap, absence) = items[1].acquisition.gaps
    assert "eth7" in gap.reason
    assert "no longer attached" in gap.reason
    assert gap.started < gap.ended
    assert "of eth7 nothing" in absence.reason
    missing = set(range(max(found))) - found
    assert missing, "a gap was told; it is real"
    for item in items:
        assert str(item.acquisition.packets_captured) == capinfos(agent.artefact("inc-1", item))["Number of packets"]


def test_full_capture_whose_interface_vanishes_says_from_when(
    hosts: Hosts, second_link: Callable[[str], None], tmp_path: Path
) -> None:
    with hosts[0].agent(tmp_path, recorder=recorder(interfaces=["eth7"])) as agent:
        agent.freeze("inc-1", 5)
        second_link("del")
        (item,) = packets(agent.finish("inc-1", 5))
    assert item.outcome.state == "truncated"
    assert "no longer attached" in item.outcome.reason
    assert item.acquisition.gaps[0].ended > item.acquisition.gaps[0].started


def test_gap_between_a_killed_agent_and_the_next_is_in_the_manifest(hosts: Hosts, tmp_path: Path) -> None:
    with Numbered(hosts[1], hosts[0], per_second=200) as stream:
        with hosts[0].agent(tmp_path) as agent:
            stream.wait_for(stream.sent + 100)
            agent.kill()
            died = stream.sent
        stream.wait_for(died + 100)
        with hosts[0].agent(tmp_path) as restarted:
            stream.wait_for(stream.sent + 50)
            items = packets(restarted.freeze("inc-1", 1))
    found = numbers_in([restarted.artefact("inc-1", item) for item in items], stream)
    missing = set(range(min(found), max(found))) - found
    assert missing
    (gap,) = items[-1].acquisition.gaps
    assert "agent was killed" in gap.reason
    assert (gap.ended - gap.started).total_seconds() >= len(missing) / 200 - 0.1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    where = tmp_path / "small"
    where.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(where)), check=True)
    yield where
    subprocess.run(("umount", str(where)), check=True)


def test_full_disk_is_said_and_survived_and_told_as_a_gap(hosts: Hosts, small_disk: Path, tmp_path: Path) -> None:
    state = small_disk / "state"
    with (
        hosts[0].agent(tmp_path, recorder=recorder(reserve_mib=1), state=str(state)) as agent,
        Numbered(hosts[1], hosts[0], per_second=300) as stream,
    ):
        stream.wait_for(100)
        (small_disk / "hog").write_bytes(bytes(24 << 20)[: _free(small_disk)])
        assert "no space" in status_when(agent, "failed").packets_reason.lower()
        full = packets(agent.freeze("full", 1))
        assert full[0].outcome.state in ("failed", "collected", "truncated")
        (small_disk / "hog").unlink()
        status_when(agent, "running")
        stream.wait_for(stream.sent + 100)
        items = packets(agent.freeze("later", 1) + agent.finish("later", 1))
    assert any("space" in gap.reason.lower() for item in items for gap in item.acquisition.gaps)
    assert items[-1].outcome.state == "collected"
    assert sum(path.stat().st_size for path in state.glob("ring/*/*.pcapng")) <= 4 * 512 * 1024 * 2


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def test_container_on_the_host_is_captured_in_its_own_namespace(hosts: Hosts, tmp_path: Path) -> None:
    with Numbered(hosts[0], hosts[1], per_second=200) as stream:
        inside = {**RECORDER["packets"], "interfaces": ["eth0"], "namespace": f"/run/netns/{hosts[1].namespace}"}
        with hosts[0].agent(tmp_path, recorder={**RECORDER, "namespaces": [inside]}) as agent:
            stream.wait_for(stream.sent + 100)
            items = packets(agent.freeze("inc-1", 1) + agent.finish("inc-1", 1))
    theirs = [item for item in items if ".ns1" in item.evidence_id]
    inode = hosts[1].call(lambda: Path("/proc/thread-self/ns/net").stat().st_ino)
    link = json.loads(hosts[1].run("ip", "-j", "link", "show", "dev", "eth0"))[0]
    assert len(theirs) == 2
    for item in theirs:
        assert (item.source.netns_inode, item.source.mac) == (inode, link["address"])
        assert numbers_in([agent.artefact("inc-1", item)], stream)
    assert items[0].source.netns_inode != inode


def test_namespace_is_found_by_process_and_by_inode(hosts: Hosts) -> None:
    with subprocess.Popen(("ip", "netns", "exec", hosts[1].namespace, "sleep", "30")) as process:
        inode = hosts[1].call(lambda: Path("/proc/thread-self/ns/net").stat().st_ino)
        wait(lambda: look(f"pid:{process.pid}", ()).inode == inode)
        assert look(f"inode:{inode}", ("eth0", "eth9")).absent == ("eth9",)
        process.kill()
    with pytest.raises(NamespaceUnknown):
        look(f"pid:{process.pid}", ())
    with pytest.raises(NamespaceUnknown, match="names no network namespace"):
        look("web", ())


@pytest.fixture
def without_dumpcap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH that has everything but dumpcap."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for folder in reversed(os.environ["PATH"].split(":")):
        for tool in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if tool.name != "dumpcap":
                (tools / tool.name).unlink(missing_ok=True)
                (tools / tool.name).symlink_to(tool)
    monkeypatch.setenv("PATH", str(tools))


@pytest.mark.usefixtures("without_dumpcap")
def test_tcpdump_takes_over_where_dumpcap_is_missing(hosts: Hosts, tmp_path: Path) -> None:
    with (
        hosts[0].agent(tmp_path / "agent") as agent,
        Numbered(hosts[1], hosts[0], per_second=300) as stream,
    ):
        stream.wait_for(100)
        items = packets(agent.freeze("inc-1", 2) + agent.finish("inc-1", 2))
    found: set[int] = set()
    for item in items:
        assert (item.acquisition.tool, item.media_type) == ("tcpdump", "application/vnd.tcpdump.pcap")
        assert (item.outcome.state, item.acquisition.packets_dropped_kernel) == ("collected", 0), item.outcome
        with agent.artefact("inc-1", item).open("rb") as file:
            frames = [frame for _, frame in dpkt.pcap.Reader(file)]
        assert item.acquisition.packets_captured == len(frames)
        for frame in frames:
            datagram = getattr(dpkt.ethernet.Ethernet(frame).data, "data", None)
            if isinstance(datagram, dpkt.udp.UDP) and datagram.dport == stream.port:
                found.add(int.from_bytes(datagram.data, "big"))
    assert found == set(range(max(found) + 1)), "no packet is lost between the ring and the full capture"
    assert max(found) > 500
