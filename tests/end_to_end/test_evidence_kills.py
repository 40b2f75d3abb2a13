"""Everything dies while a large capture is made and brought to the vault: what was said to be collected is there.

The agent is killed while its ring records and again in the middle of the capture; the API while the capture comes in;
then the bucket goes away in the middle of the way there, and the worker is killed meanwhile. FIREBREAK_KILLS_MB says
how large the capture is: 150 by default, 1000 for the whole proof (`--log-cli-level=INFO` tells the figures). It needs
three times that on the disk, and in memory, where the S3 of the tests keeps it.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lab import cast
from lab.aws_server import AwsServer
from lab.network import Lab
from tests.end_to_end import flood
from tests.end_to_end.evidence_story import CAPTURE, HOST, PORT, Absence, Story, environment, playbook
from tests.end_to_end.fault_relay import FaultRelay
from tests.end_to_end.world import World

OCTETS = int(os.environ.get("FIREBREAK_KILLS_MB", "150")) * 1_000_000
# A capture's last file was written when its tool ended, a moment after it was killed.
_TOLD_LATE = timedelta(seconds=1)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """All of it, once; the incident is closed."""
    state = tmp_path_factory.mktemp("kills")
    assert shutil.disk_usage(state).free > 4 * OCTETS, "no room for the capture and its copies"
    (state / "playbooks").mkdir()
    (state / "playbooks" / "large-capture.yaml").write_text(playbook(OCTETS), encoding="utf-8")
    with (
        AwsServer(log=state / "aws.log") as aws,
        FaultRelay(("127.0.0.1", aws.port)) as relay,
        Lab.create("fbe2k", state_dir=state / "hosts") as lab,
    ):
        cast.start_services(lab)
        world = World.create(lab, state, hosts=(HOST,), platforms=environment(relay.url))
        made = Story(world, aws, relay, OCTETS)
        made.tell()
        made.release()
        yield made
        made.s3.close()
        world.sender.close()
        world.control.stop()
    assert Lab.leftovers("fbe2k") == ()


@pytest.fixture(scope="module")
def capture(story: Story) -> dict[str, Any]:
    (item,) = story.items(CAPTURE)
    return item


@pytest.fixture(scope="module")
def fetched(story: Story, capture: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return story.fetch(capture, tmp_path_factory.mktemp("fetched") / "capture.pcapng")


def test_case_verifies_and_names_nothing_that_nobody_registered(story: Story) -> None:
    done = story.world.control.cli("evidence", "verify", story.incident_id, "--json")
    verdict = json.loads(done.stdout)
    assert verdict["ok"], verdict
    assert verdict["verified"] == verdict["items"] == len(story.incident["evidence"])
    assert verdict["unregistered"] == []


def test_capture_in_the_vault_is_whole(capture: dict[str, Any], fetched: Path) -> None:
    assert capture["outcome"]["state"] == "collected", capture["outcome"]
    assert capture["size"] == fetched.stat().st_size >= OCTETS
    with fetched.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == capture["sha256"]
    said = subprocess.run(("capinfos", "-M", "-c", fetched), capture_output=True, text=True, check=True).stdout
    assert int(said.split()[-1]) == capture["acquisition"]["packets_captured"]


def test_capture_holds_every_packet_that_was_sent_but_those_it_says_it_lost(
    capture: dict[str, Any], fetched: Path
) -> None:
    sent = set(range(flood.datagrams(OCTETS)))
    found, told = flood.numbers(fetched, PORT), capture["acquisition"]
    assert found <= sent
    assert len(sent - found) <= told["packets_dropped_kernel"] + told["packets_dropped_interface"]


def test_every_item_that_was_said_to_be_collected_is_in_the_vault_once_and_nothing_else_is(story: Story) -> None:
    kept = {known: [version["Size"] for version in versions] for known, versions in story.artefacts().items()}
    assert kept == {item["evidence_id"]: [item["size"]] for item in story.incident["evidence"] if item["storage"]}
    missing = [item["evidence_id"] for item in story.incident["evidence"] if not item["storage"]]
    assert missing == [], "everything went there in the end"
    assert story.unfinished() == [], "no upload was left half way"


def test_nothing_looked_whole_before_it_was(story: Story) -> None:
    assert story.whole_too_early == []


def test_manifests_tell_when_nobody_recorded(story: Story) -> None:
    in_the_ring, in_the_capture = story.agent_absences
    told = [gap for item in story.items("ring-") for gap in item["acquisition"].get("gaps", ())]
    assert any(_covers(gap, in_the_ring) and "killed" in gap["reason"] for gap in told), told
    (events,) = story.items("events-after")
    told = events["acquisition"].get("gaps", ())
    assert any(_covers(gap, in_the_capture) for gap in told), told
    (capture,) = story.items(CAPTURE)
    assert not capture["acquisition"].get("gaps"), "it goes on when its agent dies"


def _covers(gap: dict[str, str], absence: Absence) -> bool:
    """Told from its beginning, or before: nobody knows better than the last that was written."""
    since, until = (datetime.fromisoformat(gap[end]) for end in ("started", "ended"))
    return since - _TOLD_LATE <= absence.since and until >= absence.until
