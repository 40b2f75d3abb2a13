"""Kernel events of a host: its own, all of them, and nobody else's."""

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from activities.contracts.evidence import CollectedItem
from activities.host import ebpf
from tests.activities.host_evidence.hosts import RECORDER, Agent, Host

pytestmark = pytest.mark.lab
Hosts = tuple[Host, Host]
WITH_EVENTS = {**RECORDER, "kernel_events": True}
PORT, DENIED_PORT = 7001, 7002


@pytest.fixture(scope="module")
def agent(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """bpftrace takes two seconds to start: one agent for the module."""
    with hosts[0].agent(tmp_path_factory.mktemp("agent"), recorder=WITH_EVENTS) as running:
        status = running.ready()
        assert (status.events, status.events_reason) == ("running", "")
        yield running


def events(agent: Agent, incident: str, items: tuple[CollectedItem, ...]) -> list[dict[str, Any]]:
    item = next(item for item in items if item.kind == "ebpf-events")
    assert item.storage, item.outcome
    lines = agent.artefact(incident, item).read_text().splitlines()
    return [json.loads(line) for line in lines]


def visit(host: Host, address: str, port: int) -> None:
    """A connection from inside the host, by a program of its own."""
    with_bash = f"exec 3<>/dev/tcp/{address}/{port} && exec 3>&-"
    host.run("timeout", "1", "bash", "-c", with_bash)


class Listener:
    """Accepts on a host until left."""

    def __init__(self, host: Host, port: int) -> None:
        self._socket = host.call(lambda: socket.create_server(("", port)))
        self._thread = threading.Thread(target=self._accept)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                self._socket.accept()[0].close()
            except OSError:
                return


def test_connection_and_execution_before_the_freeze_are_evidence(hosts: Hosts, agent: Agent) -> None:
    left, right = hosts
    with Listener(right, PORT):
        visit(left, right.address, PORT)
    seen = events(agent, "seen", agent.freeze("seen", 1))
    tried = [e for e in seen if e["event"] == "connection" and e["destination_port"] == PORT]
    assert [e["state"] for e in tried[:2]] == ["SYN_SENT", "ESTABLISHED"]
    assert tried[0]["process"] == "bash"
    assert (tried[1]["source"], tried[1]["destination"]) == (left.address, right.address)
    started = [e for e in seen if e["event"] == "execution" and e["file"].endswith("/bash")]
    assert tried[0]["pid"] in [e["pid"] for e in started]


def test_events_of_another_namespace_do_not_show(hosts: Hosts, agent: Agent) -> None:
    left, right = hosts
    right.run("/bin/true")
    with Listener(right, PORT):
        visit(right, right.address, PORT)
    left.run("/bin/false-that-is-not-there", check=False)
    left.run("/usr/bin/env")
    seen = events(agent, "own", agent.freeze("own", 1))
    files = [e["file"] for e in seen if e["event"] == "execution"]
    assert "/usr/bin/env" in files
    assert "/bin/true" not in files
    assert not [e for e in seen if e["event"] == "connection" and e["source"] == e["destination"] == right.address]


def test_packet_that_a_rule_drops_shows_with_its_ports(hosts: Hosts, agent: Agent) -> None:
    left, right = hosts
    left.run("nft", "add table inet t; add chain inet t i { type filter hook input priority 0; };"
             f" add rule inet t i tcp dport {DENIED_PORT} drop")  # fmt: skip
    right.run("timeout", "0.2", "bash", "-c", f"exec 3<>/dev/tcp/{left.address}/{DENIED_PORT}", check=False)
    left.run("nft", "delete table inet t")
    seen = events(agent, "denied", agent.freeze("denied", 1))
    denied = [e for e in seen if e["event"] == "denial" and e["destination_port"] == DENIED_PORT]
    assert denied
    assert (denied[0]["source"], denied[0]["destination"]) == (right.address, left.address)


def test_what_happens_after_the_freeze_is_the_next_item(hosts: Hosts, agent: Agent) -> None:
    left, _ = hosts
    before = agent.freeze("after", 1)
    left.run("/usr/bin/id")
    item = next(item for item in agent.finish("after", 1) if item.kind == "ebpf-events")
    seen = events(agent, "after", (item,))
    assert "/usr/bin/id" in [e.get("file") for e in seen]
    assert "/usr/bin/id" not in [e.get("file") for e in events(agent, "after", before)]
    counted = [e for e in seen if e["event"] not in ("segment", "lost", "skipped")]
    assert (item.acquisition.events, item.acquisition.events_lost) == (len(counted), 0)
    assert item.acquisition.tool == "bpftrace"


def test_flood_of_executions_is_counted_not_kept(hosts: Hosts, agent: Agent) -> None:
    left, _ = hosts
    left.run("sh", "-c", "i=0; while [ $i -lt 1500 ]; do /bin/true; i=$((i+1)); done")
    left.run("sleep", "1.1")  # the count is told with the first event of a later second
    left.run("/bin/true")
    seen = events(agent, "flood", agent.freeze("flood", 1))
    kept = sum(e["event"] == "execution" and e["file"] == "/bin/true" for e in seen)
    skipped = sum(e["count"] for e in seen if e["event"] == "skipped" and e["kind"] == "execution")
    assert kept < 1501 or not skipped
    assert kept + skipped == pytest.approx(1501, abs=40)


@pytest.fixture
def tracing() -> Iterator[None]:
    """The tracing file system where this process sees it, as a booted host has it; gone afterwards if we mounted it."""
    where = "/sys/kernel/tracing"
    ours = subprocess.run(["mountpoint", "-q", where], check=False).returncode != 0
    if ours:
        subprocess.run(["mount", "-t", "tracefs", "tracefs", where], check=True)
    yield
    if ours:
        subprocess.run(["umount", where], check=True)


@pytest.mark.usefixtures("tracing")
def test_program_that_the_kernel_does_not_take_is_left_out_and_named(tmp_path: Path) -> None:
    programs = shutil.copytree(Path(ebpf.__file__).parent / "bpftrace", tmp_path / "programs")
    (programs / "denials.bt").write_text("tracepoint:skb:no_such_tracepoint { }")
    seen: list[dict[str, Any]] = []
    kernel_events = ebpf.KernelEvents(tmp_path / "state", seen.extend, programs)
    kernel_events.start()
    assert not kernel_events.wait_until_running(30)
    assert "no_such_tracepoint" in kernel_events.reason
    kernel_events.retry()
    assert kernel_events.wait_until_running(30)
    assert kernel_events.reason.startswith("denials left out: ")
    subprocess.run(("/usr/bin/true",), check=True)
    deadline = time.monotonic() + 5
    while "/usr/bin/true" not in [event.get("file") for event in seen]:
        assert time.monotonic() < deadline, "the other programs go on"
        time.sleep(0.01)
    kernel_events.stop()


def test_host_without_tracing_goes_on_without_events(hosts: Hosts, tmp_path: Path) -> None:
    with hosts[0].agent(tmp_path, recorder=WITH_EVENTS, tracefs=False) as agent:
        assert agent.ready().events == "failed"
        items = agent.freeze("inc-1", 1) + agent.finish("inc-1", 1)
    missing = [item for item in items if item.kind == "ebpf-events"]
    assert [item.outcome.state for item in missing] == ["failed", "failed"]
    assert "tracepoint not found" in missing[0].outcome.reason
    assert all(item.storage for item in items if item.kind == "packets")
