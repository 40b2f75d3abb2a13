"""Packets: what was there before the freeze, and nothing lost around it."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from activities.contracts.evidence import CollectedItem
from tests.activities.host_evidence.hosts import RECORDER, Agent, Host, Numbered, capinfos, numbers_in

pytestmark = pytest.mark.lab
Hosts = tuple[Host, Host]


@pytest.fixture(scope="module")
def agent(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent that records all the time; each test has incidents of its own."""
    with hosts[0].agent(tmp_path_factory.mktemp("agent")) as running:
        yield running


def packets(items: Iterable[CollectedItem]) -> list[CollectedItem]:
    return [item for item in items if item.kind == "packets"]


def numbers(agent: Agent, incident: str, items: Iterable[CollectedItem], stream: Numbered) -> set[int]:
    return numbers_in((agent.artefact(incident, item) for item in packets(items) if item.storage), stream)


def test_no_packet_is_lost_between_the_ring_and_the_full_capture(hosts: Hosts, agent: Agent) -> None:
    with Numbered(hosts[1], hosts[0], per_second=500) as stream:
        stream.wait_for(250)
        frozen, finished = agent.freeze("seamless", 2), agent.finish("seamless", 2)
    ring, full = (numbers(agent, "seamless", items, stream) for items in (frozen, finished))
    assert set(range(200)) <= ring, "what came before the freeze is the incident's first evidence"
    assert max(full) > 800
    assert ring & full, "both captured for a while"
    assert ring | full == set(range(max(full) + 1))


def test_counters_agree_with_wiresharks_own_tool(hosts: Hosts, agent: Agent) -> None:
    with Numbered(hosts[1], hosts[0], per_second=300) as stream:
        stream.wait_for(100)
        items = packets(agent.freeze("counted", 1) + agent.finish("counted", 1))
    for item in items:
        said = capinfos(agent.artefact("counted", item))
        assert said["Number of packets"] == str(item.acquisition.packets_captured)
        assert said["SHA256"] == item.sha256
        assert item.outcome.state == "collected"
        assert (item.acquisition.packets_dropped_kernel, item.acquisition.packets_dropped_interface) == (0, 0)
    full = items[-1]
    assert capinfos(agent.artefact("counted", full))["Capture comment"] == "firebreak incident counted, host left"
    assert full.acquisition.packets_received == full.acquisition.packets_captured


def test_manifest_says_how_and_where_packets_were_taken(hosts: Hosts, agent: Agent) -> None:
    item = packets(agent.freeze("described", 1))[0]
    link = json.loads(hosts[0].run("ip", "-j", "link", "show", "dev", "eth0"))[0]
    assert (item.source.ifindex, item.source.mac) == (link["ifindex"], link["address"])
    assert item.source.interface == "eth0"
    assert item.source.netns_inode == hosts[0].call(lambda: Path("/proc/thread-self/ns/net").stat().st_ino)
    assert (item.acquisition.linktype, item.acquisition.snaplen) == ("EN10MB", 0)
    said = subprocess.run(("dumpcap", "--version"), capture_output=True, text=True, check=True).stdout
    assert item.acquisition.tool_version in said.splitlines()[0]
    assert "dumpcap" in item.acquisition.command


def test_one_incident_does_not_take_another_ones_past_away(hosts: Hosts, agent: Agent) -> None:
    with Numbered(hosts[1], hosts[0], per_second=300) as stream:
        stream.wait_for(100)
        agent.freeze("first", 2)
        stream.wait_for(stream.sent + 100)
        items = agent.freeze("second", 1) + agent.finish("second", 1)
        agent.finish("first", 2)
    found = numbers(agent, "second", items, stream)
    assert found == set(range(max(found) + 1))


def test_artefact_that_reaches_no_vault_is_an_outcome_and_is_sent_again(agent: Agent) -> None:
    (agent.vault / "broken").write_text("the vault is on fire")
    item = agent.freeze("burnt", 1)[0]
    (agent.vault / "broken").unlink()
    assert (item.outcome.state, item.storage) == ("failed", None)
    assert "on fire" in item.outcome.reason
    assert agent.freeze("burnt", 1)[0].storage is not None


def test_order_that_comes_again_gives_the_same_items_after_a_restart_too(hosts: Hosts, tmp_path: Path) -> None:
    with hosts[0].agent(tmp_path) as agent:
        first = agent.freeze("inc-1", 1)
        assert agent.freeze("inc-1", 1) == first
        finished = agent.finish("inc-1", 1)
    with hosts[0].agent(tmp_path) as restarted:
        assert restarted.freeze("inc-1", 1) == first
        assert restarted.finish("inc-1", 1) == finished


def test_killed_agent_loses_neither_the_ring_nor_the_full_capture(hosts: Hosts, tmp_path: Path) -> None:
    with Numbered(hosts[1], hosts[0], per_second=200) as stream:
        with hosts[0].agent(tmp_path) as agent:
            begun = stream.sent
            agent.freeze("inc-1", 8)
            frozen = stream.sent
            agent.kill()
        with hosts[0].agent(tmp_path) as restarted:
            after = stream.sent
            finished = packets(restarted.finish("inc-1", 8))
            later = restarted.freeze("inc-2", 1)
    assert [item.outcome.state for item in finished] == ["collected"]
    full = numbers(restarted, "inc-1", finished, stream)
    assert full == set(range(min(full), max(full) + 1))
    assert max(full) > max(after, frozen + 400), "it went on for its whole time, agent or no agent"
    assert begun + 1 in numbers(restarted, "inc-2", later, stream), "the ring of before the kill is still there"


def test_ring_keeps_its_bounds_and_its_order(hosts: Hosts, tmp_path: Path) -> None:
    packet_settings: dict[str, Any] = {**RECORDER["packets"], "ring_files": 2, "ring_file_kib": 64}
    with (
        hosts[0].agent(tmp_path, recorder={**RECORDER, "packets": packet_settings}) as agent,
        Numbered(hosts[1], hosts[0], per_second=3000) as stream,
    ):
        stream.wait_for(3000)
        items = packets(agent.freeze("inc-1", 1))
    assert len(items) == 2
    spans = [numbers(agent, "inc-1", [item], stream) for item in items]
    assert min(spans[0]) > 0, "the oldest were replaced"
    assert spans[0] | spans[1] == set(range(min(spans[0]), max(spans[1]) + 1))
    assert max(spans[0]) < min(spans[1])


def test_interface_that_is_not_there_is_an_outcome_not_an_error(hosts: Hosts, tmp_path: Path) -> None:
    wrong = {**RECORDER, "packets": {"interfaces": ["nosuch0"]}}
    with hosts[0].agent(tmp_path, recorder=wrong) as agent:
        assert agent.status().packets == "failed"
        items = packets(agent.freeze("inc-1", 1) + agent.finish("inc-1", 1))
    assert [item.outcome.state for item in items] == ["failed", "failed"]
    assert all("nosuch0" in item.outcome.reason for item in items)


def test_recorder_that_is_off_still_captures_from_the_freeze_on(hosts: Hosts, tmp_path: Path) -> None:
    with hosts[0].agent(tmp_path, recorder={**RECORDER, "enabled": False}) as agent:
        frozen = agent.freeze("inc-1", 1)
        with Numbered(hosts[1], hosts[0], per_second=100):
            finished = agent.finish("inc-1", 1)
    assert [item.outcome.state for item in frozen] == ["missing", "missing"]
    assert packets(finished)[0].outcome.state == "collected"
