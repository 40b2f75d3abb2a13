"""Processes that die in the middle of a large upload: it goes on, and nothing half looks whole."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from activities.evidence.vault.opening import VaultPlace, open_vault
from activities.host.upload import Sent, VaultUploader
from activities.host.upload_parts import PART_BYTES
from activities.orders.keys import public_bytes
from lab.aws_server import AwsServer
from lab.control import free_port
from lab.waiting import wait_until
from tests.api.upload_server import HOST_ID, INCIDENT, ITEM

PARTS, PATIENCE_SECONDS = 6, 40
BUCKET = "firebreak-evidence"


class Api:
    """The API as a process, to be killed and started again on the same port and folder."""

    def __init__(self, folder: Path, key: Ed25519PrivateKey, place: VaultPlace) -> None:
        self._folder, self._key, self._place = folder, public_bytes(key.public_key()).hex(), place
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = [str(self._folder), str(self._port), self._key, self._place.model_dump_json()]
        with (self._folder / "api.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.api.upload_server", *arguments], stdout=log, stderr=log
            )
        wait_until(self._answers, 40, "the API")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v1/nothing", timeout=1).status_code > 0
        except httpx.TransportError:
            return False


class Sending(threading.Thread):
    """An agent that uploads; `there` grows with what the vault has of it."""

    def __init__(self, url: str, key: Ed25519PrivateKey, path: Path) -> None:
        super().__init__()
        self._url, self._key, self._path = url, key, path
        self.there = 0
        self.sent: Sent | None = None
        self.error: Exception | None = None

    def run(self) -> None:
        with httpx.Client() as client:
            uploader = VaultUploader(client, self._url, HOST_ID, self._key, patience_seconds=PATIENCE_SECONDS)
            try:
                self.sent = uploader.send(INCIDENT, ITEM, "ring.pcapng", self._path, self._told)
            except Exception as error:  # noqa: BLE001 - shown by the test
                self.error = error

    def _told(self, there: int) -> None:
        self.there = there


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def large(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(PART_BYTES * PARTS + 4711))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ACCESS_KEY_ID": "tests", "SECRET_ACCESS_KEY": "tests", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)


@contextmanager
def bucket(folder: Path, port: int) -> Iterator[AwsServer]:
    """An S3 with an empty bucket: what this server holds is in its memory."""
    with AwsServer(folder / "aws.log", port) as server:
        s3 = boto3.client("s3", endpoint_url=server.url)
        s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        s3.close()
        yield server


def started(api: Api, key: Ed25519PrivateKey, path: Path, parts: int) -> Sending:
    api.start()
    sending = Sending(api.url, key, path)
    sending.start()
    wait_until(lambda: sending.there >= parts * PART_BYTES or not sending.is_alive(), 40, f"{parts} parts")
    return sending


def artefacts(place: VaultPlace) -> list[int]:
    return [kept.size for kept in open_vault(place).case(INCIDENT).artefacts()]


def test_upload_goes_on_after_the_api_was_killed(
    tmp_path: Path, key: Ed25519PrivateKey, large: tuple[Path, str]
) -> None:
    path, digest = large
    place = VaultPlace(directory=tmp_path / "vault")
    api = Api(tmp_path, key, place)
    try:
        sending = started(api, key, path, 1)
        api.kill()
        assert artefacts(place) == [], "nothing that looks whole"
        api.start()
        sending.join()
    finally:
        api.kill()
    assert sending.sent is not None, sending.error
    assert (sending.sent.sha256, sending.sent.storage.checksum) == (digest, digest)
    assert artefacts(place) == [path.stat().st_size]
    assert b"".join(open_vault(place).case(INCIDENT).read(ITEM)) == path.read_bytes()


def test_upload_waits_for_an_s3_that_is_away_and_nothing_is_lost(
    tmp_path: Path, key: Ed25519PrivateKey, large: tuple[Path, str]
) -> None:
    path, port = large[0], free_port()
    place = VaultPlace(directory=tmp_path / "scratch", bucket=BUCKET, endpoint_url=f"http://127.0.0.1:{port}")
    api = Api(tmp_path, key, place)
    try:
        with bucket(tmp_path, port):
            sending = started(api, key, path, 2)
        wait_until(lambda: _is_whole(place, path) or not sending.is_alive(), 40, "everything in the spool")
        assert sending.is_alive(), sending.error
        with bucket(tmp_path, port):
            sending.join()
            assert sending.sent is not None, sending.error
            assert sending.sent.storage.lock_mode == "governance"
            assert b"".join(open_vault(place).case(INCIDENT).read(ITEM)) == path.read_bytes()
    finally:
        api.kill()
    assert list((tmp_path / "scratch" / "spool").iterdir()) == []


def _is_whole(place: VaultPlace, path: Path) -> bool:
    return [spool.stat().st_size for spool in (place.directory / "spool").iterdir()] == [path.stat().st_size]
