"""Packets: what was there before the freeze, and nothing lost around it."""

import json
import subprocess
from pathlib import Path

import pytest

from activities.contracts.evidence import CollectedItem
from tests.activities.host_evidence.hosts import RECORDER, Agent, Host, Numbered, capinfos, numbers_in

pytestmark = pytest.mark.lab
Hosts = tuple[Host, Host]


def of_kind(items: tuple[CollectedItem, ...], kind: str) -> list[CollectedItem]:
    return [item for item in items if item.kind == kind]


def packets_of(agent: Agent, incident: str, items: tuple[CollectedItem, ...]) -> set[int]:
    found = [numbers_in(agent.artefact(incident, item)) for item in of_kind(items, "packets") if item.storage]
    return set[int]().union(*found)


def test_no_packet_is_lost_between_the_ring_and_the_full_capture(hosts: Hosts, tmp_path: Path) -> None:
    left, right = hosts
    with left.agent(tmp_path) as agent, Numbered(right, left, per_second=500) as stream:
        stream.wait_for(300)
        before = agent.freeze("inc-1")
        during = agent.finish("inc-1")
    ring, full = packets_of(agent, "inc-1", before), packets_of(agent, "inc-1", during)
    assert 0 in ring, "what came before the freeze is the incident's first evidence"
    assert max(full) > 1000
    assert ring & full, "both captured for a while"
    assert ring | full == set(range(max(full) + 1))


def test_counters_agree_with_wiresharks_own_tool(hosts: Hosts, tmp_path: Path) -> None:
    left, right = hosts
    with left.agent(tmp_path) as agent, Numbered(right, left, per_second=300) as stream:
        stream.wait_for(100)
        items = agent.freeze("inc-1", 1) + agent.finish("inc-1", 1)
    for item in of_kind(items, "packets"):
        said = capinfos(agent.artefact("inc-1", item))
        assert said["Number of packets"] == str(item.acquisition.packets_captured)
        assert said["SHA256"] == item.sha256
        assert item.outcome.state == "collected"
        assert (item.acquisition.packets_dropped_kernel, item.acquisition.packets_dropped_interface) == (0, 0)
    full = of_kind(items, "packets")[-1]
    assert capinfos(agent.artefact("inc-1", full))["Capture comment"] == "firebreak incident inc-1, host left"
    assert full.acquisition.packets_received == full.acquisition.packets_captured


def test_manifest_says_how_and_where_packets_were_taken(hosts: Hosts, tmp_path: Path) -> None:
    left, _ = hosts
    with left.agent(tmp_path) as agent:
        item = of_kind(agent.freeze("inc-1", 1), "packets")[0]
    link = json.loads(left.run("ip", "-j", "link", "show", "dev", "eth0"))[0]
    assert (item.source.interface, item.source.ifindex, item.source.mac) == ("eth0", link["ifindex"], link["address"])
    assert item.source.netns_inode == left.call(lambda: Path("/proc/thread-self/ns/net").stat().st_ino)
    assert item.acquisition.linktype == "EN10MB"
    assert item.acquisition.snaplen == 0
    version = subprocess.run(("dumpcap", "--version"), capture_output=True, text=True, check=True).stdout
    assert item.acquisition.tool_version in version.splitlines()[0]
    assert "dumpcap" in item.acquisition.command


def test_ring_keeps_its_bounds_and_its_order(hosts: Hosts, tmp_path: Path) -> None:
    left, right = hosts
    small = RECORDER["packets"] | {"ring_files": 2, "ring_file_kib": 64}  # type: ignore[operator]
    with left.agent(tmp_path, recorder=RECORDER | {"packets": small}) as agent:
        with Numbered(right, left, per_second=3000) as stream:
            stream.wait_for(4000)
            items = of_kind(agent.freeze("inc-1", 1), "packets")
    assert 2 <= len(items) <= 3
    spans = [numbers_in(agent.artefact("inc-1", item)) for item in items]
    assert min(spans[0]) > 0, "the oldest were replaced"
    assert [min(span) for span in spans] == sorted(min(span) for span in spans)
    assert set[int]().union(*spans) == set(range(min(spans[0]), max(spans[-1]) + 1))


def test_second_incident_finds_what_the_first_one_froze(hosts: Hosts, tmp_path: Path) -> None:
    left, right = hosts
    with left.agent(tmp_path) as agent, Numbered(right, left, per_second=300) as stream:
        stream.wait_for(100)
        agent.freeze("inc-1", 2)
        seen = stream.sent
        stream.wait_for(seen + 100)
        second = agent.freeze("inc-2", 1)
        later = agent.finish("inc-2", 1)
        agent.finish("inc-1", 2)
    found = packets_of(agent, "inc-2", second) | packets_of(agent, "inc-2", later)
    assert found == set(range(max(found) + 1)), "one incident does not take another one's past away"


def test_freezing_again_for_the_same_incident_gives_the_same_items(hosts: Hosts, tmp_path: Path) -> None:
    left, _ = hosts
    with left.agent(tmp_path) as agent:
        first = agent.freeze("inc-1", 1)
        assert agent.freeze("inc-1", 1) == first
        finished = agent.finish("inc-1", 1)
        assert agent.finish("inc-1", 1) == finished
    with left.agent(tmp_path) as restarted:
        assert restarted.freeze("inc-1", 1) == first
        assert restarted.finish("inc-1", 1) == finished


def test_full_capture_outlives_an_agent_that_is_killed(hosts: Hosts, tmp_path: Path) -> None:
    left, right = hosts
    with Numbered(right, left, per_second=200) as stream:
        with left.agent(tmp_path) as agent:
            agent.freeze("inc-1", 2)
            frozen_at = stream.sent
            agent.kill()
        with left.agent(tmp_path) as restarted:
            items = restarted.finish("inc-1", 2)
    capture = of_kind(items, "packets")[0]
    assert capture.outcome.state == "collected"
    numbers = numbers_in(restarted.artefact("inc-1", capture))
    assert numbers == set(range(min(numbers), max(numbers) + 1))
    assert max(numbers) > frozen_at + 200, "it went on for its whole time"


def test_packets_of_before_a_restart_are_still_in_the_ring(hosts: Hosts, tmp_path: Path) -> None:
    left, right = hosts
    with left.agent(tmp_path) as agent:
        with Numbered(right, left, per_second=200) as stream:
            stream.wait_for(50)
            # The kernel hands packets over a quarter of a second late: let dumpcap have them before the end.
            stream.wait_for(200)
        agent.kill()
    with left.agent(tmp_path) as restarted:
        items = restarted.freeze("inc-1", 1)
    assert set(range(100)) <= packets_of(restarted, "inc-1", items)


def test_interface_that_is_not_there_is_an_outcome_not_an_error(hosts: Hosts, tmp_path: Path) -> None:
    left, _ = hosts
    wrong = RECORDER | {"packets": {"interfaces": ["nosuch0"]}}
    with left.agent(tmp_path, recorder=wrong) as agent:
        assert agent.status().packets == "failed"
        frozen, finished = agent.freeze("inc-1", 1), agent.finish("inc-1", 1)
    ring, capture = of_kind(frozen, "packets")[0], of_kind(finished, "packets")[0]
    assert ring.outcome.state == capture.outcome.state == "failed"
    assert "nosuch0" in ring.outcome.reason
    assert "nosuch0" in capture.outcome.reason


def test_recorder_that_is_off_still_captures_from_the_freeze_on(hosts: Hosts, tmp_path: Path) -> None:
    left, right = hosts
    with left.agent(tmp_path, recorder=RECORDER | {"enabled": False}) as agent:
        frozen = agent.freeze("inc-1", 1)
        with Numbered(right, left, per_second=100):
            finished = agent.finish("inc-1", 1)
    assert [item.outcome.state for item in frozen] == ["missing", "missing"]
    assert of_kind(finished, "packets")[0].outcome.state == "collected"


def test_artefact_that_reaches_no_vault_is_an_outcome_and_is_sent_again(hosts: Hosts, tmp_path: Path) -> None:
    left, _ = hosts
    with left.agent(tmp_path) as agent:
        agent.vault.mkdir(exist_ok=True)
        (agent.vault / "broken").write_text("the vault is on fire")
        item = agent.freeze("inc-1", 1)[0]
        assert (item.outcome.state, item.storage) == ("failed", None)
        assert "on fire" in item.outcome.reason
        (agent.vault / "broken").unlink()
        assert agent.freeze("inc-1", 1)[0].storage is not None
