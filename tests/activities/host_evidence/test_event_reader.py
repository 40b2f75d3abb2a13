"""Kernel events when nobody reads them any more, though bpftrace runs: told, told as a gap, and mended."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from activities.contracts.evidence import Gap
from activities.host.ebpf_programs import Programs
from activities.host.event_items import events_artefact
from activities.host.event_recorder import EventRecorder
from activities.host.event_ring import EventLimits
from activities.host.frozen import Freeze, RecorderStatus
from tests.activities.host_evidence.hosts import RECORDER, Agent, Host

pytestmark = pytest.mark.lab
Hosts = tuple[Host, Host]
TRACING = "/sys/kernel/tracing"


@pytest.fixture
def tracing() -> Iterator[None]:
    """The tracing file system where this process sees it, as a booted host has it; gone afterwards if we mounted it."""
    ours = subprocess.run(["mountpoint", "-q", TRACING], check=False).returncode != 0
    if ours:
        subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACING], check=True)
    yield
    if ours:
        subprocess.run(["umount", TRACING], check=True)


def wait(condition: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Log:
    """Takes events into a file, until it is closed under it, as a log that is rotated by somebody careless."""

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, path.open("a", encoding="utf-8")

    def take(self, documents: Sequence[Any]) -> None:
        self.file.write(f"{documents}\n")


def frozen_gaps(events: EventRecorder, folder: Path) -> tuple[Gap, ...]:
    events.freeze(folder / "events-before.jsonl")
    status = RecorderStatus(packets="running", events=events.status().state)
    freeze = Freeze(incident_id="inc-1", frozen_at=datetime.now(UTC), seconds=1, status=status)
    return events_artefact("events-before", folder / "events-before.jsonl", freeze).acquisition.gaps


@pytest.mark.usefixtures("tracing")
def test_reader_that_died_is_no_running_recorder_but_a_gap_and_begins_again(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    events = EventRecorder(tmp_path, EventLimits(), "web", log.take)
    events.start()
    try:
        assert events.wait_until_running(30)
        subprocess.run(("/usr/bin/id",), check=True, capture_output=True)
        wait(lambda: "/usr/bin/id" in "".join(p.read_text() for p in (tmp_path / "events").iterdir()))
        log.file.close()
        subprocess.run(("/usr/bin/env",), check=True, capture_output=True)
        wait(lambda: events.status().state == "failed")
        assert "I/O operation on closed file" in events.status().reason
        (gap,) = frozen_gaps(events, tmp_path)
        assert "I/O operation on closed file" in gap.reason
        log.file = log.path.open("a", encoding="utf-8")
        events.tend(hold=False)
        assert events.wait_until_running(30)
        assert events.status().reason == "", "no program is left out for it"
        (gap,) = frozen_gaps(events, tmp_path)
        assert ("I/O operation on closed file" in gap.reason, gap.ended > gap.started) == (True, True)
    finally:
        events.stop()
        log.file.close()


class FewTasks:
    """A control group that a process is put into, to have no more threads than it has."""

    def __init__(self, process: int) -> None:
        parent = Path("/sys/fs/cgroup/pids")
        self._folder = (parent if parent.is_dir() else parent.parent) / f"firebreak-test-{os.getpid()}"
        self._folder.mkdir()
        (self._folder / "cgroup.procs").write_text(str(process))

    def allow(self, tasks: str) -> None:
        (self._folder / "pids.max").write_text(tasks)

    def remove(self) -> None:
        wait(lambda: not (self._folder / "cgroup.procs").read_text().strip())
        self._folder.rmdir()


@pytest.fixture
def agent(hosts: Hosts, tmp_path: Path) -> Iterator[Agent]:
    with hosts[0].agent(tmp_path, recorder={**RECORDER, "kernel_events": True}) as running:
        yield running


def test_host_without_a_task_left_says_so_and_records_when_it_has_one(agent: Agent) -> None:
    tasks = FewTasks(agent.process.pid)
    try:
        tasks.allow("0")  # bpftrace compiles; nobody can be started who would try it
        wait(lambda: agent.status().events == "failed")
        assert "can't start new thread" in agent.status().events_reason
        tasks.allow("max")
        wait(lambda: agent.status().events == "running")
        assert agent.status().events_reason == ""
        (item,) = [item for item in agent.freeze("inc-1", 1) if item.kind == "ebpf-events"]
        told = [json.loads(line) for line in agent.artefact("inc-1", item).read_text().splitlines()]
        (stopped,) = [event for event in told if event["event"] == "stopped"]
        assert "can't start new thread" in stopped["reason"]
    finally:
        agent.end()
        tasks.remove()


def test_programs_that_were_not_why_are_wanted_again() -> None:
    programs = Programs()
    for _ in range(3):
        programs.leave_out("tracefs is not mounted")
    assert "attempts" not in programs.chosen
    assert programs.reason.count("left out") == 3
    programs.leave_out("tracefs is not mounted")
    assert programs.chosen == ("connections", "attempts", "dns", "denials", "executions")
