"""One incident whose agent, worker, API and S3 are killed while a large capture is made and brought to the vault.

Owns the order of the kills, each awaited for what it is to hit, and what was seen on the way. Judges nothing.

    story = Story(world, aws, relay, octets=150_000_000)
    story.tell()
    story.incident, story.manifests, story.fetch("capture-01", path)
"""

import json
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from lab.aws_server import AwsServer
from lab.waiting import wait_until
from tests.end_to_end import flood
from tests.end_to_end.fault_relay import FaultRelay
from tests.end_to_end.world import Incident, World, closed, waits_for_release

BUCKET, REGION = "firebreak-evidence", "us-east-1"
HOST, CAPTURE = "web", "capture-01"
BEFORE_PORT, PORT = 9_001, 9_002
BEFORE_OCTETS, OCTETS_PER_SECOND = 20_000_000, 50_000_000
PART_BYTES = 16 << 20
# A sender that is late must not outlast the capture.
SPARE_SECONDS = 4
PATIENCE_SECONDS = 300
# Every try of a call, of more calls than are under way at once: the upload was given up and begun again.
REFUSALS = 8
KEYS = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests", "region_name": REGION}
PLAYBOOK = """\
name: large-capture
title: Contain at once, capture much
match: {{rules: ["Large capture*"]}}
contain: {{lease: {{ttl_seconds: 120, ends: open}}}}
forensics: {{capture_seconds: {seconds}, budget_seconds: 10, collect: [sockets]}}
remediate: {{action: none}}
"""
log = logging.getLogger(__name__)


def environment(endpoint: str) -> dict[str, str]:
    """The settings of a node whose vault is the bucket."""
    return {
        "FIREBREAK_VAULT_BUCKET": BUCKET,
        "FIREBREAK_VAULT_ENDPOINT_URL": endpoint,
        "FIREBREAK_VAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
    }


def playbook(octets: int) -> str:
    """What answers the alert: a capture long enough for so many bytes."""
    return PLAYBOOK.format(seconds=-(-octets // OCTETS_PER_SECOND) + SPARE_SECONDS)


@dataclass(frozen=True)
class Absence:
    """From when until when something was surely dead: killed before, its successor not yet there."""

    since: datetime
    until: datetime


@dataclass
class Story:
    """What happens, and what was seen."""

    world: World
    aws: AwsServer
    relay: FaultRelay
    octets: int
    incident: Incident = field(default_factory=dict)
    agent_absences: list[Absence] = field(default_factory=list)
    whole_too_early: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.s3: Any = boto3.client("s3", endpoint_url=self.aws.url, **KEYS)
        self.s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)

    @property
    def incident_id(self) -> str:
        """The one incident."""
        return str(self.incident["incident_id"])

    def tell(self) -> None:
        """From the ring's first packets until everything is collected."""
        self._tell_memory()
        flood.widen(self.world.lab, "app", HOST)
        self._agent_dies_while_the_ring_records()
        with self._flooded():
            self._agent_dies_in_the_middle_of_the_capture()
        self._api_dies_while_the_capture_comes_in()
        self._bucket_goes_and_the_worker_dies_while_the_capture_goes_there()
        self.incident = self.world.until(self.incident_id, waits_for_release, seconds=PATIENCE_SECONDS)
        self._tell_memory()

    def release(self) -> None:
        """To the end, the seal included."""
        with self.world.control.client() as api:
            api.post(f"/v1/incidents/{self.incident_id}/release", json={"reason": "tested"}).raise_for_status()
        self.incident = self.world.until(self.incident_id, closed, seconds=PATIENCE_SECONDS)
        self._note("the incident is closed")

    def artefacts(self) -> dict[str, list[dict[str, Any]]]:
        """Every version of every artefact in the bucket, by the item's id."""
        prefix = f"case/{self.incident_id}/artefacts/"
        found: dict[str, list[dict[str, Any]]] = {}
        for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix=prefix):
            for version in page.get("Versions", ()):
                found.setdefault(version["Key"].removeprefix(prefix).partition("@")[0], []).append(version)
        return found

    def unfinished(self) -> list[dict[str, Any]]:
        """Uploads that were begun in the bucket and are no object yet."""
        return list(self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()))

    def fetch(self, item: dict[str, Any], target: Path) -> Path:
        """The bytes of an item as the bucket has them, past everything of ours."""
        key = f"case/{self.incident_id}/artefacts/{item['evidence_id']}@{item['name']}"
        with target.open("wb") as file:
            # In one request: the S3 of the tests copies an object for each part that is asked of it.
            shutil.copyfileobj(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"], file, PART_BYTES)
        return target

    def items(self, label: str) -> list[dict[str, Any]]:
        """The items whose label begins so."""
        return [item for item in self.incident["evidence"] if f".{label}" in item["evidence_id"]]

    def _agent_dies_while_the_ring_records(self) -> None:
        rate = OCTETS_PER_SECOND // 2
        lab = self.world.lab
        flood.start(lab, "app", HOST, octets=BEFORE_OCTETS, octets_per_second=rate, port=BEFORE_PORT).wait(30)
        wait_until(lambda: _size(self._recorder, "ring/*/*.pcap*") >= BEFORE_OCTETS, 20, "the ring's packets")
        self._kill_agent("the ring held {:,} bytes", _size(self._recorder, "ring/*/*.pcap*"))

    @contextmanager
    def _flooded(self) -> Iterator[None]:
        self.incident = {"incident_id": self.world.alert("Large capture", host=HOST)}
        captures = f"incidents/{self.incident_id}/{CAPTURE}"
        wait_until(lambda: _says(self._recorder / f"{captures}.log", "File:"), 20, "the full-length capture")
        sending = flood.start(
            self.world.lab, "app", HOST, octets=self.octets, octets_per_second=OCTETS_PER_SECOND, port=PORT
        )
        wait_until(lambda: self._captured > self.octets // 2, PATIENCE_SECONDS, "half of the capture")
        yield
        sending.wait(PATIENCE_SECONDS)
        self._note("all was sent, the capture has {:,} bytes", self._captured)

    def _agent_dies_in_the_middle_of_the_capture(self) -> None:
        self._kill_agent("the capture had {:,} bytes", self._captured)

    def _api_dies_while_the_capture_comes_in(self) -> None:
        wait_until(lambda: self._came_in > 2 * PART_BYTES, PATIENCE_SECONDS, "the capture's upload")
        before = self._pid("api")
        self.world.control.kill_part("api")
        self.relay.cut_after(2 * PART_BYTES + PART_BYTES // 2)
        self._killed("api", self._came_in)
        wait_until(lambda: self._pid("api") != before, 20, "the API's successor")

    def _bucket_goes_and_the_worker_dies_while_the_capture_goes_there(self) -> None:
        assert self.relay.cut.wait(PATIENCE_SECONDS)
        before = self._pid("worker")
        self.world.control.kill_part("worker")
        self._killed("the bucket is away, worker", self._came_in)
        wait_until(lambda: self.relay.refused >= REFUSALS, 60, "tries without a bucket")
        wait_until(lambda: self._pid("worker") != before, 20, "the worker's successor")
        self._look()
        self.relay.restore()
        self._note("the bucket is back, {:,} connections were refused", self.relay.refused)

    def _kill_agent(self, what: str, octets: int) -> None:
        since = datetime.now(UTC)
        self.world.control.kill_agents()
        self._look()
        until = datetime.now(UTC)
        self.world.control.restart_agents()
        self.agent_absences.append(Absence(since, until))
        self._note(f"agent killed and back: {what}", octets)

    def _killed(self, what: str, octets: int) -> None:
        self._look()
        self._note(f"{what} killed: {{:,}} bytes had come in", octets)

    def _look(self) -> None:
        """Whether the vault has something by the capture's name, long before all of it came."""
        if self.incident:
            self.whole_too_early += [known for known in self.artefacts() if CAPTURE in known]

    def _note(self, what: str, *figures: int) -> None:
        log.info("%6.2f s: %s", time.monotonic() - self.begun, what.format(*figures))

    def _tell_memory(self) -> None:
        """What agent, API and worker took at most since each was started last."""
        pids = {"agent": self.world.control.agents[HOST].pid, "API": self._pid("api"), "worker": self._pid("worker")}
        for name, pid in pids.items():
            self._note(f"{name} took {{:,}} KiB at most", peak_kib(pid))

    @property
    def _recorder(self) -> Path:
        return self.world.lab[HOST].state_dir / "agent" / "recorder"

    @property
    def _captured(self) -> int:
        return _size(self._recorder, f"incidents/{self.incident_id}/{CAPTURE}.pcapng")

    @property
    def _came_in(self) -> int:
        return _size(self.world.control.state_dir, "vault/spool/*")

    def _pid(self, part: str) -> int:
        try:
            return int(self.world.control.node()["pids"][part])
        except (OSError, json.JSONDecodeError):  # it is being written
            return 0


def peak_kib(pid: int) -> int:
    """The most memory that a process ever had."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _size(folder: Path, pattern: str) -> int:
    total = 0
    for path in folder.glob(pattern):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # forgotten, or in the vault
            continue
    return total


def _says(path: Path, what: str) -> bool:
    return path.exists() and what in path.read_text(encoding="utf-8", errors="replace")
