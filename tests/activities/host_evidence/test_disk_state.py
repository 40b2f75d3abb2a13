"""Mounts, scheduled work, packages and the journal: what is there, or why there is nothing."""

import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from activities.contracts.evidence import CollectedItem
from activities.host.spool import spool, spool_output
from activities.host.volatile_disk import read_cron, read_packages
from tests.activities.host_evidence.hosts import RECORDER, Agent, Host

pytestmark = pytest.mark.lab
Hosts = tuple[Host, Host]
CRON = Path("/etc/cron.d/firebreak-test")


@pytest.fixture(scope="module")
def agent(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    off = {**RECORDER, "enabled": False}
    with hosts[0].agent(tmp_path_factory.mktemp("agent"), recorder=off) as running:
        yield running


def entries(agent: Agent, incident: str, item: CollectedItem) -> list[dict[str, Any]]:
    document: dict[str, Any] = json.loads(agent.artefact(incident, item).read_text())
    found: list[dict[str, Any]] = document["entries"]
    return found


def test_mounts_are_those_the_agent_sees(agent: Agent) -> None:
    (item,) = agent.collect("mounted", "mounts")
    found = {entry["mounted_on"]: entry["type"] for entry in entries(agent, "mounted", item)}
    assert found["/sys/kernel/tracing"] == "tracefs"
    assert (item.acquisition.tool, item.outcome.state) == ("firebreak", "collected")


@pytest.fixture
def scheduled() -> Iterator[None]:
    """A table of an intruder's, with octets that are no text."""
    CRON.parent.mkdir(exist_ok=True)
    CRON.write_bytes(b"* * * * * root /tmp/\xff\x1b[2J\n")
    yield
    CRON.unlink()


@pytest.mark.usefixtures("scheduled")
def test_scheduled_work_shows_with_owner_times_and_escaped_text() -> None:
    found, cut = read_cron(time.monotonic() + 20)
    mine = next(entry for entry in found if entry["path"] == str(CRON))
    assert (mine["owner"], mine["mode"], mine["cut"], cut) == ("root", "0644", False, "")
    assert "\\xff" in mine["text"]
    assert "\x1b" not in json.dumps(found)


def test_package_whose_file_was_changed_shows(tmp_path: Path) -> None:
    root = tmp_path / "root"
    info = root / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (root / "usr").mkdir()
    (root / "usr/tool").write_text("not what the package brought")
    (info / "tool.md5sums").write_text("d41d8cd98f00b204e9800998ecf8427e  usr/tool\n")
    (info / "tool.list").write_text("/.\n/usr\n/usr/tool\n")
    (root / "var/lib/dpkg/status").write_text(
        "Package: tool\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n"
        "Maintainer: a <a@example.com>\nDescription: a\n\n"
    )
    command = ("dpkg", f"--root={root}", "--verify")
    found, spooled = read_packages(command, tmp_path, time.monotonic() + 20)
    assert [(entry["marks"], entry["path"]) for entry in found] == [("??5??????", "/usr/tool")], spooled


def test_package_check_that_takes_longer_than_its_budget_is_truncated(agent: Agent) -> None:
    (item,) = agent.collect("hurried", "packages", budget=1)
    assert item.outcome.state == "truncated"
    assert "budget" in item.outcome.reason
    assert agent.took < 4
    assert item.acquisition.tool == "dpkg"


def test_host_without_a_journal_says_so(agent: Agent) -> None:
    (item,) = agent.collect("silent", "journal")
    assert (item.kind, item.outcome.state) == ("logs", "missing")
    assert "journal" in item.outcome.reason


def test_output_without_end_is_ended_at_its_bound(tmp_path: Path) -> None:
    begun = time.monotonic()
    spooled = spool_output(("yes",), tmp_path / "out", 1000, time.monotonic() + 20)
    assert ((tmp_path / "out").stat().st_size, spooled.size) == (1000, 1000)
    assert "limit of 1000" in spooled.truncated
    assert time.monotonic() - begun < 5


def test_command_that_is_silent_is_ended_by_the_clock(tmp_path: Path) -> None:
    spooled = spool_output(("sleep", "60"), tmp_path / "out", 1000, time.monotonic() + 0.5)
    assert (spooled.size, spooled.truncated) == (0, "the time budget was spent")


def test_failing_command_keeps_its_status_and_its_words(tmp_path: Path) -> None:
    spooled = spool_output(("sh", "-c", "echo no >&2; exit 3"), tmp_path / "out", 1000, time.monotonic() + 5)
    assert (spooled.exit_status, spooled.said) == (3, "no")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    where = tmp_path / "small"
    where.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=66m", "tmpfs", str(where)), check=True)
    yield where
    subprocess.run(("umount", str(where)), check=True)


def test_room_that_others_need_is_left_on_the_disk(small_disk: Path) -> None:
    spooled = spool(itertools.repeat(b"x" * 100_000), small_disk / "out", 1 << 30, time.monotonic() + 20)
    assert "no more room" in spooled.truncated
    assert spooled.size <= 2 << 20
