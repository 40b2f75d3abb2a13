"""What a host can do to its collectors: no room, no rights, an intruder's names and clocks. Each ends in an outcome."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from activities.contracts.evidence import CollectedItem
from activities.host import clock
from activities.host.clock import Ages
from activities.host.event_items import events_artefact
from activities.host.event_recorder import EventRecorder
from activities.host.event_ring import EventLimits, EventRing
from activities.host.frozen import Freeze, RecorderStatus
from activities.host.spool import read_output
from tests.activities.full_disk import SmallDisk, small_disk
from tests.activities.host_evidence.hosts import RECORDER, Agent, Host, Numbered

pytestmark = pytest.mark.lab
Hosts = tuple[Host, Host]
OFF = {**RECORDER, "enabled": False}
HOUR = 3600


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "small") as small:
        yield small


def test_full_disk_costs_what_is_kept_on_it_and_is_said_of_each_item(
    hosts: Hosts, disk: SmallDisk, tmp_path: Path
) -> None:
    with hosts[0].agent(tmp_path / "agent", recorder=OFF, state=str(disk.folder / "state")) as agent:
        disk.fill()
        items = agent.collect("inc-1", "sockets", "routes", "files", files=["/etc/hostname"])
        assert [(item.outcome.state, item.storage) for item in items] == [("failed", None)] * 3
        assert all("No space left" in item.outcome.reason for item in items)
        assert not list(disk.folder.glob("**/*.draft")), "nothing half is left where there is no room"
        disk.make_room()
        assert all(item.storage for item in agent.collect("inc-1", "sockets", "routes", order="again"))


def test_items_that_are_in_the_vault_are_handed_over_though_nobody_can_note_it(
    hosts: Hosts, disk: SmallDisk, tmp_path: Path
) -> None:
    with hosts[0].agent(tmp_path / "agent", recorder=OFF, state=str(disk.folder / "state")) as agent:
        (agent.vault / "broken").write_text("the vault is away")
        agent.collect("inc-1", "routes")
        disk.fill()
        (agent.vault / "broken").unlink()
        (item,) = agent.collect("inc-1", "routes")
    assert (item.outcome.state, item.storage is not None) == ("collected", True)


def test_events_that_find_no_room_at_the_freeze_are_not_lost_for_good(disk: SmallDisk) -> None:
    events = EventRecorder(disk.folder, EventLimits(), "web", lambda _: None)
    ring = EventRing(disk.folder / "events", EventLimits(), dict)
    ring.append([{"event": "execution", "at": "2031-05-01T12:00:00+00:00", "file": "x" * 200}] * 5000)
    disk.fill()
    before, after = disk.folder / "events-before.jsonl", disk.folder / "events-after.jsonl"
    last_segment, missing = events.freeze(before)
    assert (last_segment, "No space left" in missing) == ("", True)
    status = RecorderStatus(packets="running", events="running")
    freeze = Freeze(
        incident_id="inc-1",
        frozen_at=datetime(2031, 5, 1, tzinfo=UTC),
        seconds=1,
        status=status,
        events_missing=missing,
    )
    outcome = events_artefact("events-before", before, freeze).outcome
    assert (outcome.state, outcome.reason) == ("failed", missing)
    disk.make_room()
    ring.rotate()
    assert events.gather_since(last_segment, after) == ""
    assert after.read_text().count('"execution"') == 5000


@pytest.fixture
def unprivileged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Host], Agent]]:
    """Starts agents that have the network's rights alone; of eBPF and of others' processes none."""
    rights = "-all,+net_raw,+net_admin,+dac_override,+sys_admin"  # the last mounts the agent's tracefs
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec setpriv --bounding-set={rights} --inh-caps=-all {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr("tests.activities.host_evidence.hosts.sys.executable", str(python))
    started: list[Agent] = []

    def start(host: Host) -> Agent:
        events = {**RECORDER, "kernel_events": True}
        started.append(Agent(host, tmp_path / "agent", {"recorder": events, "tracefs": False}))
        return started[-1]

    yield start
    for agent in started:
        agent.end()


def test_agent_without_rights_says_what_it_may_not_see(hosts: Hosts, unprivileged: Callable[[Host], Agent]) -> None:
    agent = unprivileged(hosts[0])
    assert agent.ready().events == "failed"
    items = {item.name: item for item in agent.freeze("inc-1", 1) + agent.collect("inc-1", "sockets", "processes")}
    assert items["ring-0001.pcapng"].storage is not None
    assert items["events-before.jsonl"].outcome.state == "failed"
    assert items["events-before.jsonl"].outcome.reason
    for name in ("sockets.json", "processes.json"):
        assert "CAP_SYS_PTRACE" in items[name].outcome.reason


def documents(agent: Agent, incident: str, items: tuple[CollectedItem, ...]) -> dict[str, str]:
    stored = [item for item in items if item.storage and item.name.endswith(".json")]
    return {item.name: agent.artefact(incident, item).read_text() for item in stored}


def test_names_that_an_intruder_chose_cost_nothing_and_are_escaped(hosts: Hosts, tmp_path: Path) -> None:
    folder = tmp_path / "ho\x1b[2J\nst"
    folder.mkdir()
    program = folder / "sl\xff\n\x1b]0;x\x07ee)p S 1 1"
    program.write_bytes(Path("/usr/bin/sleep").read_bytes())
    program.chmod(0o755)
    file = os.fsencode(folder) + b"/b\xff\xfe\x1b"
    Path(os.fsdecode(file)).write_bytes(b"\x00\x1b\xff")
    named = [os.fsdecode(file), "/etc/\0x", "/" + "a" * 5000, "relative", "", "/etc/hostname"]
    process = hosts[0].call(lambda: subprocess.Popen(("\x1b[2J\n)evil", "60"), executable=program))
    hosts[0].run("ip", "link", "add", 'na;$(x)"{', "type", "veth", "peer", "name", "eth8p")
    try:
        packets = {**RECORDER["packets"], "interfaces": ["eth0", 'na;$(x)"{']}
        with hosts[0].agent(tmp_path / "agent", recorder={**RECORDER, "packets": packets}) as agent:
            assert agent.status().packets == "running"
            agent.freeze("inc-1", 1)
            items = agent.collect("inc-1", "processes", "files", "routes", "mounts", files=named)
    finally:
        process.kill()
        process.wait()
        hosts[0].run("ip", "link", "del", 'na;$(x)"{')
    read = documents(agent, "inc-1", items)
    assert not any("\x1b" in text for text in read.values())
    states = [entry["state"] for entry in json.loads(read["files.json"])["entries"]]
    assert states == ["collected", "failed", "failed", "missing", "missing", "collected"]
    (evil,) = [e for e in json.loads(read["processes.json"])["entries"] if e["pid"] == process.pid]
    assert evil["executable_sha256"]
    assert evil["command"][0] == "\\x1b[2J\\n)evil"


def test_output_of_a_command_ends_at_its_bound_in_memory_too() -> None:
    beats: list[int] = []
    output, done = read_output(("yes",), 1000, time.monotonic() + 20, beat=lambda: beats.append(1))
    assert (len(output), "limit of 1000" in done.truncated, bool(beats)) == (1000, True, True)
    _, slow = read_output(("sleep", "60"), 1000, time.monotonic() + 0.3)
    assert slow.truncated == "it did not end within the time budget"


def test_clock_that_is_set_ahead_makes_nothing_old(monkeypatch: pytest.MonkeyPatch) -> None:
    # Pretended, since nobody else on this machine would like its clock set.
    real_boot, real_time = clock.boot_ns, time.time
    ages = Ages(max_age_seconds=900)
    written = time.time() - 10
    monkeypatch.setattr(clock, "boot_ns", lambda: real_boot() + HOUR * 10**9)
    monkeypatch.setattr(time, "time", lambda: real_time() + HOUR)
    assert ages.horizon() < written < time.time() - 900
    assert ages.horizon() < written, "and not only the first time"
    monkeypatch.setattr(time, "clock_gettime", lambda _: real_time() + 10 * HOUR)
    assert ages.horizon() > written, "until it is old"


def test_clock_that_was_set_meanwhile_is_told(hosts: Hosts, tmp_path: Path) -> None:
    # The one thing that is pretended: nobody else on this machine would like its clock set.
    with hosts[0].agent(tmp_path) as agent, Numbered(hosts[1], hosts[0], per_second=100) as stream:
        stream.wait_for(30)
        (record,) = (tmp_path / "state" / "ring").glob("*/begun.json")
        begun = json.loads(record.read_text())
        record.write_text(json.dumps(begun | {"boot_ns": begun["boot_ns"] + 3_600 * 10**9}))
        item = agent.freeze("inc-1", 1)[0]
    assert "the clock was set by -3600.0 s" in item.outcome.reason
    assert item.acquisition.clock_offset_ms == pytest.approx(-3_600_000, abs=100)
