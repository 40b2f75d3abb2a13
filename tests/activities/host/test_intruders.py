"""Finding who is behind accused traffic, and ending them with their group and nobody else."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from activities.contracts.host import ProcessRef
from activities.host import processes
from lab import cast
from lab.host import LabHost
from lab.network import Lab
from lab.topology import APP_PORT, DB_PORT
from lab.waiting import wait_until
from tests.activities.host.agents import Agent
from tests.activities.host.traffic import sessions

CHANGES: list[tuple[dict[str, object], str]] = [
    ({"executable": "/bin/other"}, "runs"),
    ({"pgid": 9**6}, "moved"),
]
Start = Callable[[LabHost, str], subprocess.Popen[bytes]]

# A leader that starts a child, both of which do nothing until they are killed.
CHILD = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
FAMILY = CHILD + "import time; time.sleep(60)"
# A leader that ends when it is told to, before its child.
ORPHANS = CHILD + "input()"


@pytest.fixture
def start(lab: Lab) -> Iterator[Start]:
    """Starts a Python program in a host, in a process group of its own."""
    with ExitStack() as ending:

        def run(host: LabHost, program: str) -> subprocess.Popen[bytes]:
            started = host.popen_piped([sys.executable, "-c", program])
            ending.enter_context(ended(started))
            return started

        yield run


@contextmanager
def ended(started: subprocess.Popen[bytes]) -> Iterator[None]:
    yield
    for member in processes.members(started.pid):
        os.kill(member.pid, 9)
    started.kill()
    started.wait()


def described(pid: int) -> ProcessRef:
    found = processes.describe(pid)
    assert found is not None
    return found


def await_members(pgid: int, count: int) -> None:
    wait_until(lambda: len(processes.members(pgid)) == count, 5, f"{count} processes in group {pgid}")
    python = Path(sys.executable).resolve().name
    wait_until(
        lambda: all(Path(processes.executable_of(m.pid) or "").name == python for m in processes.members(pgid)),
        5,
        "all of them to run Python",
    )


def test_the_intruder_is_found_after_the_cut_and_ended_with_its_group(lab: Lab, web: Agent) -> None:
    intruder = cast.start_intruder(lab)
    web.isolate()
    found = web.find(lab["db"].ipv4, lab["db"].ipv6, ports=(DB_PORT,))
    (lateral,) = found.processes
    assert lateral.pgid == intruder.pid
    assert lateral.pid != intruder.pid
    assert set(lateral.sockets) <= {f"{lab['db'].ipv4}:{DB_PORT}", f"[{lab['db'].ipv6}]:{DB_PORT}"}
    assert "lab.intruder" in lateral.command
    assert lateral.user == "root"
    assert lateral.executable_sha256 == hashlib.sha256(Path(lateral.executable).read_bytes()).hexdigest()

    killed = web.kill(lateral)
    assert killed.confirmed
    assert killed.ended == (lateral.pid,)
    assert processes.members(intruder.pid) == ()
    assert intruder.wait(1) == -9


def test_only_processes_of_this_host_are_accused(lab: Lab, web: Agent) -> None:
    # The test holds the sessions inside web, but is itself no process of web.
    with sessions(lab["web"], lab["app"], APP_PORT):
        found = web.find(lab["app"].ipv4, lab["app"].ipv6, lab["db"].ipv4, ports=(APP_PORT,))
    assert found.processes == ()
    assert set(found.unattributed) == {f"{lab['app'].ipv4}:{APP_PORT}", f"[{lab['app'].ipv6}]:{APP_PORT}"}


def test_nobody_is_accused_of_another_port(lab: Lab, app: Agent, web: Agent) -> None:
    with sessions(lab["web"], lab["app"], APP_PORT):
        (service,) = app.find(lab["web"].ipv4).processes
        assert "lab.services" in service.command
        other_port = int(service.sockets[0].rpartition(":")[2]) + 1
        assert app.find(lab["web"].ipv4, ports=(other_port,), hints=(service,)).processes == (service,)


def test_accusing_nothing_finds_nobody(web: Agent) -> None:
    assert web.find().processes == ()


def test_a_hint_is_reported_while_it_lives(lab: Lab, web: Agent, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    leader = start(lab["web"], FAMILY)
    await_members(leader.pid, 2)
    hint = described(leader.pid)
    assert [ref.pid for ref in web.find(hints=(hint,)).processes] == [leader.pid]
    web.kill(hint)
    assert web.find(hints=(hint,)).processes == ()


def test_a_group_ends_with_its_children(lab: Lab, web: Agent, start: Start) -> None:
    leader = start(lab["web"], FAMILY)
    await_members(leader.pid, 2)
    killed = web.kill(described(leader.pid))
    assert killed.confirmed
    assert processes.members(leader.pid) == ()
    again = web.kill(described_before(leader.pid, killed.ended))
    assert (again.ended, again.gone_before, again.confirmed) == ((), (leader.pid,), True)


def described_before(pid: int, ended_pids: tuple[int, ...]) -> ProcessRef:
    assert ended_pids == (pid,)
    return ProcessRef(pid=pid, pgid=pid, start_ticks=1, executable=sys.executable)


def test_children_that_outlive_the_accused_end_too(lab: Lab, web: Agent, start: Start) -> None:
    leader = start(lab["web"], ORPHANS)
    await_members(leader.pid, 2)
    accused = described(leader.pid)
    assert leader.stdin is not None
    leader.stdin.write(b"\n")
    leader.stdin.flush()
    leader.wait(5)
    assert len(processes.members(leader.pid)) == 1
    killed = web.kill(accused)
    assert (killed.gone_before, killed.confirmed) == ((leader.pid,), True)
    assert processes.members(leader.pid) == ()


@pytest.mark.parametrize("earlier", [-1, 1])
def test_a_pid_that_changed_hands_is_left_alone(lab: Lab, web: Agent, start: Start, earlier: int) -> None:
    leader = start(lab["web"], FAMILY)
    await_members(leader.pid, 2)
    now = described(leader.pid)
    killed = web.kill(now.model_copy(update={"start_ticks": now.start_ticks + earlier}))
    assert (killed.ended, killed.gone_before) == ((), (leader.pid,))
    assert len(processes.members(leader.pid)) == 2


@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_a_process_that_is_not_what_was_seen_survives_with_a_reason(
    lab: Lab, web: Agent, start: Start, change: dict[str, object], reason: str
) -> None:
    leader = start(lab["web"], FAMILY)
    await_members(leader.pid, 2)
    killed = web.kill(described(leader.pid).model_copy(update=change))
    assert (killed.survivors, killed.confirmed) == ((leader.pid,), False)
    assert reason in killed.reasons[0]
    assert len(processes.members(leader.pid)) == 2


def test_a_process_of_another_host_survives(lab: Lab, web: Agent, start: Start) -> None:
    elsewhere = start(lab["app"], FAMILY)
    await_members(elsewhere.pid, 2)
    killed = web.kill(described(elsewhere.pid))
    assert (killed.survivors, killed.confirmed) == ((elsewhere.pid,), False)
    assert "network namespace" in killed.reasons[0]


def test_the_agent_does_not_end_itself(web: Agent) -> None:
    killed = web.kill(described(os.getpid()))
    assert killed.survivors == (os.getpid(),)
    assert "own session" in killed.reasons[0]


def test_what_an_intruder_calls_itself_is_escaped_and_bounded() -> None:
    hostile = b"\x1b[2J\xff" + b"a" * 1000
    shown = processes.printable(hostile)
    assert shown.startswith("\\x1b[2J\\xff")
    assert len(shown) == processes.MAX_TEXT
    assert processes.printable("\udcff\n") == "\\udcff\\n"
