"""Volatile state: real sockets, processes and rules of one namespace, within a budget."""

import hashlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from activities.contracts.evidence import CollectedItem
from tests.activities.host_evidence.hosts import RECORDER, Agent, Host

pytestmark = pytest.mark.lab
Hosts = tuple[Host, Host]
EVERYTHING = ("modules", "logins", "ruleset", "processes", "routes", "neighbours", "conntrack", "sockets")
PORT = 7100


@pytest.fixture(scope="module")
def agent(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    off = {**RECORDER, "enabled": False}
    with hosts[0].agent(tmp_path_factory.mktemp("agent"), recorder=off) as running:
        yield running


@pytest.fixture(scope="module")
def server(hosts: Hosts) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the host that listens, and has one connection from the other host."""
    code = f"import socket; s = socket.create_server(('', {PORT})); print(flush=True); s.accept()[0].recv(1)"
    command = ("ip", "netns", "exec", hosts[0].namespace, sys.executable, "-c", code)
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    hosts[0].run("nft", "add table inet mine; add chain inet mine i { type filter hook input priority 0; };"
                 " add rule inet mine i ct state established accept")  # fmt: skip
    peer = hosts[1].call(lambda: socket.create_connection((hosts[0].address, PORT)))
    yield process
    peer.close()
    process.wait(5)
    process.stdout.close()
    hosts[0].run("nft", "delete", "table", "inet", "mine")


def document(agent: Agent, incident: str, item: CollectedItem) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(agent.artefact(incident, item).read_text())
    return read


@pytest.fixture(scope="module")
def collected(agent: Agent, server: subprocess.Popen[bytes]) -> dict[str, tuple[CollectedItem, Any]]:
    items = agent.collect("everything", *EVERYTHING)
    return {
        item.name.removesuffix(".json"): (
            item,
            document(agent, "everything", item)["entries"] if item.storage else None,
        )
        for item in items
    }


def test_most_volatile_state_is_taken_first(agent: Agent) -> None:
    items = agent.collect("ordered", *EVERYTHING)
    assert [item.name.removesuffix(".json") for item in items[:2]] == ["sockets", "conntrack"]
    assert [item.volatility_rank for item in items] == sorted(item.volatility_rank for item in items)
    started = [item.acquisition.started for item in items]
    assert started == sorted(started)


def test_listening_and_connected_sockets_have_their_process(
    hosts: Hosts, server: subprocess.Popen[bytes], collected: dict[str, Any]
) -> None:
    _, entries = collected["sockets"]
    mine = {entry["state"]: entry for entry in entries if entry.get("local_port") == PORT}
    assert mine["LISTEN"]["pids"] == [server.pid]
    assert mine["ESTABLISHED"]["pids"] == [server.pid]
    assert mine["ESTABLISHED"]["remote"] == hosts[1].address


def test_process_has_the_digest_of_what_runs(server: subprocess.Popen[bytes], collected: dict[str, Any]) -> None:
    _, entries = collected["processes"]
    mine = next(entry for entry in entries if entry["pid"] == server.pid)
    executable = Path(f"/proc/{server.pid}/exe").resolve()
    assert mine["executable"] == str(executable)
    assert mine["executable_sha256"] == hashlib.sha256(executable.read_bytes()).hexdigest()
    assert mine["command"][1] == "-c"


def test_processes_of_other_namespaces_do_not_show(collected: dict[str, Any]) -> None:
    _, entries = collected["processes"]
    assert subprocess.run(("true",), check=True).returncode == 0
    assert not {1, threading.get_native_id()} & {entry["pid"] for entry in entries}


def test_conntrack_knows_the_connection(hosts: Hosts, collected: dict[str, Any]) -> None:
    _, entries = collected["conntrack"]
    mine = [entry for entry in entries if entry["sent"].get("dport") == str(PORT)]
    assert [(entry["protocol"], entry["state"]) for entry in mine] == [("tcp", "ESTABLISHED")]
    assert (mine[0]["sent"]["src"], mine[0]["answered"]["src"]) == (hosts[1].address, hosts[0].address)


def test_rules_routes_and_neighbours_are_those_of_the_namespace(hosts: Hosts, collected: dict[str, Any]) -> None:
    tables = [entry["table"]["name"] for entry in collected["ruleset"][1] if "table" in entry]
    assert tables == ["mine"]
    assert "10.77.99.0/24" in [entry["dst"] for entry in collected["routes"][1]]
    assert hosts[1].address in [entry["dst"] for entry in collected["neighbours"][1]]


def test_every_item_has_an_outcome_that_fits_what_is_in_it(collected: dict[str, Any]) -> None:
    assert len(collected) == len(EVERYTHING)
    for item, entries in collected.values():
        assert item.outcome.state == ("collected" if entries else "empty"), item.outcome


def test_spent_budget_is_said_of_each_item(agent: Agent) -> None:
    items = agent.collect("hurried", "sockets", "processes", budget=0)
    assert [item.outcome.state for item in items] == ["missing", "missing"]
    assert "budget" in items[0].outcome.reason


def test_second_order_of_an_incident_has_items_of_its_own(agent: Agent) -> None:
    first = agent.collect("twice", "sockets", order="one")
    second = agent.collect("twice", "sockets", order="two")
    assert agent.collect("twice", "sockets", order="one") == first
    assert first[0].evidence_id != second[0].evidence_id
    assert second[0].storage is not None
