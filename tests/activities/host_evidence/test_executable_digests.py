"""Hashing what processes run: once each, within bounds, and never at the cost of everything else."""

import hashlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from activities.host.executable_digests import ENDED, Digest, Digests, HashLimits, told
from tests.activities.host_evidence.hosts import RECORDER, Host
from tests.activities.host_evidence.slow_files import slow_file

pytestmark = pytest.mark.lab
Hosts = tuple[Host, Host]
Make = Callable[..., Digests]
SLEEP = shutil.which("sleep") or ""
PORT = 7400


@contextmanager
def running(*command: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def sleeper(folder: Path, name: str, content: bytes = b"") -> Path:
    """A program of its own: the same one with something behind it."""
    path = folder / name
    path.write_bytes(Path(SLEEP).read_bytes() + content)
    path.chmod(0o755)
    return path


@pytest.fixture
def digests() -> Iterator[Callable[..., Digests]]:
    """Makes some with limits; closed afterwards."""
    with ExitStack() as closing:

        def make(beats: list[float] | None = None, **limits: Any) -> Digests:
            taken = beats if beats is not None else []
            given = HashLimits.model_validate(limits)
            return closing.enter_context(Digests(time.monotonic() + 60, lambda: taken.append(time.monotonic()), given))

        yield make


@pytest.mark.parametrize("seconds", ["never", "0.05"])
def test_executable_that_comes_slowly_or_never_costs_its_own_time_alone(
    tmp_path: Path, digests: Make, seconds: str
) -> None:
    beats: list[float] = []
    with (
        slow_file(tmp_path / "fuse", SLEEP, seconds) as tool,
        running(str(tool), "60") as process,
        running(str(tool), "60") as other,
    ):
        found = digests(beats, file_seconds=1.0)
        begun = time.monotonic()
        assert found.of(process.pid) == Digest(why="it was not read within 1.0 s")
        assert 1.0 <= time.monotonic() - begun < 2.0
        assert len(beats) >= 3
        again = time.monotonic()
        assert found.of(other.pid).why == "it was not read within 1.0 s"
        assert time.monotonic() - again < 0.5, "it is not waited for again"
        with running(SLEEP, "60") as honest:
            assert found.of(honest.pid).sha256 == hashlib.sha256(Path(SLEEP).read_bytes()).hexdigest()


def test_each_file_is_read_once_whatever_its_processes_call_it(tmp_path: Path, digests: Make) -> None:
    program = sleeper(tmp_path, "program")
    alias = tmp_path / "alias"
    alias.hardlink_to(program)
    found = digests(total_max_bytes=program.stat().st_size)
    with running(str(program), "60") as one, running(str(alias), "60") as other:
        expected = Digest(sha256=hashlib.sha256(program.read_bytes()).hexdigest())
        assert (found.of(one.pid), found.of(other.pid)) == (expected, expected)


def test_file_beyond_its_bound_is_not_read_and_says_so(digests: Make) -> None:
    with running(SLEEP, "60") as process:
        assert digests(file_max_bytes=1000).of(process.pid) == Digest(why="it is larger than 1000 bytes")


def test_collection_ends_at_its_bound_of_bytes(tmp_path: Path, digests: Make) -> None:
    first, second = sleeper(tmp_path, "first"), sleeper(tmp_path, "second", b"x")
    found = digests(total_max_bytes=first.stat().st_size + 10)
    with running(str(first), "60") as one, running(str(second), "60") as other:
        assert found.of(one.pid).sha256
        assert found.of(other.pid).why.startswith("more than the ")
        assert found.of(one.pid).sha256


def test_collection_ends_at_its_bound_of_time_and_still_knows_what_it_read(tmp_path: Path, digests: Make) -> None:
    with (
        slow_file(tmp_path / "fuse", SLEEP, "never") as tool,
        running(str(tool), "60") as slow,
        running(SLEEP, "60") as known,
        running(str(sleeper(tmp_path, "new")), "60") as fresh,
    ):
        found = digests(total_seconds=0.5)
        assert found.of(known.pid).sha256
        assert not found.of(slow.pid).sha256
        assert found.of(fresh.pid) == Digest(why="the time for hashing was spent")
        assert found.of(known.pid).sha256


def test_process_that_ended_is_no_loss(digests: Make) -> None:
    with running(SLEEP, "0") as process:
        process.wait()
    assert digests().of(process.pid) == Digest(why=ENDED)
    assert told([("/bin/sleep", Digest(why=ENDED)), ("/bin/true", Digest(sha256="0" * 64))]) == ""


def test_more_than_are_told_one_by_one_are_counted() -> None:
    said = told([(f"/bin/{number:02d}", Digest(why="no")) for number in range(20)])
    assert said.startswith("20 executables have no hash: /bin/00 (no); ")
    assert said.endswith("; and 12 more")


def test_item_names_what_was_not_hashed_and_the_other_collectors_have_their_time(hosts: Hosts, tmp_path: Path) -> None:
    limits = {"hashes": {"file_seconds": 1.0}}
    with slow_file(tmp_path / "fuse", SLEEP, "never") as tool:
        server = hosts[0].call(lambda: socket.create_server(("", PORT)))
        process = hosts[0].call(lambda: subprocess.Popen((str(tool), "60"), pass_fds=(server.fileno(),)))
        off = {**RECORDER, "enabled": False}
        with hosts[0].agent(tmp_path / "agent", recorder=off, limits=limits) as agent:
            sockets, routes, processes = agent.collect("slow", "sockets", "processes", "routes", budget=30)
        process.kill()
        process.wait()
        server.close()
    assert agent.took < 10
    assert (routes.outcome.state, routes.outcome.reason) == ("collected", "")
    why = f"1 executable has no hash: {tool} (it was not read within 1.0 s)"
    for item in (sockets, processes):
        assert (item.outcome.state, item.outcome.reason.startswith(why)) == ("truncated", True)
    held = json.loads(agent.artefact("slow", sockets).read_text())["entries"]
    (mine,) = [entry for entry in held if entry.get("local_port") == PORT and entry["pids"] == [process.pid]]
    assert mine["programs"] == [
        {"pid": process.pid, "executable": str(tool), "sha256": "", "unhashed": "it was not read within 1.0 s"}
    ]
    ran = {entry["pid"]: entry for entry in json.loads(agent.artefact("slow", processes).read_text())["entries"]}
    assert ran[process.pid]["executable_unhashed"] == "it was not read within 1.0 s"
    assert all(entry["executable_sha256"] for pid, entry in ran.items() if pid != process.pid)
