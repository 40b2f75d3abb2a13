"""Chosen files and memory: what was named, as it is, and never more than is asked for."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from activities.contracts.evidence import CollectedItem
from activities.host.processes import stat
from activities.host.volatile_memory import dump
from tests.activities.host_evidence.hosts import RECORDER, Agent, Host

pytestmark = pytest.mark.lab
Hosts = tuple[Host, Host]
SECRET = b"correct horse battery staple"
PORT = 7300


@pytest.fixture(scope="module")
def agent(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    off = {**RECORDER, "enabled": False}
    with hosts[0].agent(tmp_path_factory.mktemp("agent"), recorder=off) as running:
        yield running


def by_name(items: tuple[CollectedItem, ...]) -> dict[str, CollectedItem]:
    return {item.name: item for item in items}


def index(agent: Agent, incident: str, item: CollectedItem) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(agent.artefact(incident, item).read_text())["entries"]
    return found


def test_chosen_file_is_taken_with_its_metadata(agent: Agent, tmp_path: Path) -> None:
    hostile = tmp_path / "\x1b[2J\n..name"
    hostile.write_bytes(b"content")
    hostile.chmod(0o640)
    os.setxattr(hostile, "user.note", b"x")
    items = by_name(agent.collect("chosen", "files", files=[str(hostile)]))
    assert set(items) == {"file-01", "files.json"}, "the vault's names are ours"
    assert items["file-01"].sha256 == hashlib.sha256(b"content").hexdigest()
    (entry,) = index(agent, "chosen", items["files.json"])
    assert bytes.fromhex(entry["path_octets"]) == os.fsencode(hostile)
    assert "\x1b" not in entry["path"]
    assert (entry["mode"], entry["owner"], entry["xattrs"], entry["size"]) == ("0640", "root", ["user.note"], 7)


def test_symbolic_link_is_told_and_not_followed(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/shadow")
    (item,) = agent.collect("linked", "files", files=[str(tmp_path / "link")])
    assert "a symbolic link to /etc/shadow, not followed" in item.outcome.reason
    assert item.outcome.state == "truncated"


def test_folder_that_is_a_link_is_followed_and_told(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/file").write_text("x")
    (tmp_path / "alias").symlink_to("real")
    items = by_name(agent.collect("aliased", "files", files=[str(tmp_path / "alias/file")]))
    assert items["file-01"].outcome.state == "collected"
    assert str(tmp_path / "real/file") in items["file-01"].outcome.reason


def test_device_pipe_and_absent_file_cost_nothing_but_their_own_place(agent: Agent, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("x")
    named = [str(tmp_path / "pipe"), "/dev/zero", str(tmp_path / "gone"), str(tmp_path / "file")]
    items = by_name(agent.collect("odd", "files", files=named, budget=5))
    assert items["file-04"].outcome.state == "collected"
    entries = index(agent, "odd", items["files.json"])
    assert [entry["state"] for entry in entries] == ["missing", "missing", "missing", "collected"]
    assert "character device" in entries[1]["reason"]


def test_file_beyond_its_bound_is_truncated(hosts: Hosts, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 5000)
    off = {**RECORDER, "enabled": False}
    with hosts[0].agent(tmp_path / "agent", recorder=off, limits={"file_max_bytes": 1000}) as agent:
        items = by_name(agent.collect("large", "files", files=[str(tmp_path / "large")]))
    assert (items["file-01"].outcome.state, items["file-01"].size) == ("truncated", 1000)


def test_file_that_was_taken_is_not_read_again_by_the_next_agent(hosts: Hosts, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("as it was")
    off = {**RECORDER, "enabled": False}
    with hosts[0].agent(tmp_path / "agent", recorder=off) as agent:
        (agent.vault / "broken").write_text("the vault is on fire")
        agent.collect("inc-1", "files", files=[str(tmp_path / "file")])
        agent.kill()
    (agent.vault / "broken").unlink()
    (tmp_path / "file").write_text("as the intruder left it")
    with hosts[0].agent(tmp_path / "agent", recorder=off) as restarted:
        items = by_name(restarted.collect("inc-1", "files", files=[str(tmp_path / "file")]))
    assert items["file-01"].sha256 == hashlib.sha256(b"as it was").hexdigest()


@pytest.fixture
def talker(hosts: Hosts) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a connection to the other host, and a secret in its memory alone."""
    server = hosts[1].call(lambda: socket.create_server((hosts[1].address, PORT)))
    half = len(SECRET) // 2
    code = (
        f"import socket; s = socket.create_connection(('{hosts[1].address}', {PORT}));"
        f"secret = bytearray({SECRET[:half]!r}) + bytearray({SECRET[half:]!r}); print(flush=True); s.recv(1)"
    )
    command = ("ip", "netns", "exec", hosts[0].namespace, sys.executable, "-c", code)
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    server.close()
    process.kill()
    process.wait()
    process.stdout.close()


def test_memory_of_the_accused_process_holds_what_only_memory_held(
    hosts: Hosts, agent: Agent, talker: subprocess.Popen[bytes]
) -> None:
    items = by_name(agent.collect("remembered", "memory", accused=[hosts[1].address], accused_ports=[PORT]))
    raw = items[f"memory-{talker.pid}.raw"]
    content = agent.artefact("remembered", raw).read_bytes()
    assert SECRET in content
    (entry,) = index(agent, "remembered", items["memory.json"])
    assert sum(extent["size"] for extent in entry["extents"]) == len(content) == raw.size
    assert (entry["pid"], entry["item"]) == (talker.pid, f"memory-{talker.pid}")
    assert (raw.kind, raw.volatility_rank, raw.outcome.state) == ("memory", 4, "collected")


def test_extents_say_where_in_the_process_each_octet_was(talker: subprocess.Popen[bytes], tmp_path: Path) -> None:
    found = stat(talker.pid)
    assert found is not None
    dumped = dump(talker.pid, found.start_ticks, tmp_path / "raw", 64 << 20, time.monotonic() + 20)
    raw = (tmp_path / "raw").read_bytes()
    place = raw.index(SECRET)
    extent = next(e for e in dumped.extents if e["offset"] <= place < e["offset"] + e["size"])
    with Path(f"/proc/{talker.pid}/mem").open("rb") as memory:
        memory.seek(int(extent["address"], 16) + place - extent["offset"])
        assert memory.read(len(SECRET)) == SECRET


def test_memory_ends_at_its_bound(agent: Agent, talker: subprocess.Popen[bytes]) -> None:
    items = by_name(agent.collect("bounded", "memory", memory_max_mib=1))
    raw = items[f"memory-{talker.pid}.raw"]
    assert raw.outcome.state == "truncated"
    assert 0 < raw.size <= 1 << 20
    assert "limit" in raw.outcome.reason


def test_process_that_is_gone_is_an_outcome(talker: subprocess.Popen[bytes], tmp_path: Path) -> None:
    found = stat(talker.pid)
    assert found is not None
    talker.send_signal(signal.SIGKILL)
    talker.wait()
    dumped = dump(talker.pid, found.start_ticks, tmp_path / "raw", 1 << 20, time.monotonic() + 5)
    assert (dumped.outcome.state, dumped.outcome.reason) == ("failed", "the process ended before its turn")


def test_memory_that_may_not_be_read_is_an_outcome(talker: subprocess.Popen[bytes]) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from activities.host.volatile_memory import dump;"
        "os.setuid(65534);"
        f"print(dump({talker.pid}, 1, Path(sys.argv[1]), 1 << 20, time.monotonic() + 5).outcome)"
    )
    with tempfile.TemporaryDirectory() as folder:  # one that others may write to
        Path(folder).chmod(0o777)
        command = (sys.executable, "-c", code, f"{folder}/raw")
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "failed" in done.stdout
    assert "CAP_SYS_PTRACE" in done.stdout


def test_deleted_executable_is_hashed_all_the_same(hosts: Hosts, agent: Agent, tmp_path: Path) -> None:
    copy = tmp_path / "implant"
    copy.write_bytes(Path(sys.executable).read_bytes())
    copy.chmod(0o755)
    digest = hashlib.sha256(copy.read_bytes()).hexdigest()
    code = f"import socket; s = socket.create_server(('', {PORT + 1})); print(flush=True); s.accept()"
    environment = {"PYTHONHOME": sys.base_prefix}
    command = ("ip", "netns", "exec", hosts[0].namespace, str(copy), "-c", code)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        copy.unlink()
        (item,) = agent.collect("deleted", "sockets")
        process.kill()
    mine = next(e for e in index(agent, "deleted", item) if e.get("local_port") == PORT + 1)
    (program,) = mine["programs"]
    assert (program["sha256"], program["executable"]) == (digest, f"{copy} (deleted)")
