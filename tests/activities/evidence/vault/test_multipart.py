"""Large items on their way to a bucket: bounded memory, and nothing is sent twice after a crash."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from activities.evidence.errors import VaultMismatch, VaultMissing, VaultUnavailable
from activities.evidence.vault.multipart import IN_FLIGHT, PART_BYTES
from activities.evidence.vault.opening import VaultPlace
from activities.evidence.vault.s3 import S3Vault
from tests.activities.evidence.vault.conftest import BUCKET, MakeVault

PARTS = 5
SENDER = """
import sys
from pathlib import Path
from activities.evidence.vault.opening import VaultPlace, open_vault
from activities.evidence.vault.multipart import MultipartUpload

sent = MultipartUpload._part
def telling(self, upload_id, number, part, there):
    if number > int(sys.argv[4]):
        sys.stdin.read()
    done = sent(self, upload_id, number, part, there)
    print("part", number, flush=True)
    return done
MultipartUpload._part = telling
vault = open_vault(VaultPlace.model_validate_json(sys.argv[1]))
vault.put_file("inc-1", "e1", "a.bin", Path(sys.argv[2]), sha256=sys.argv[3])
"""


@pytest.fixture
def large(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(PART_BYTES * (PARTS - 1) + 1000))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def broken_off(place: VaultPlace, path: Path, digest: str, *, after: int) -> None:
    """Another process that sends some parts and is killed."""
    command = [sys.executable, "-c", SENDER, place.model_dump_json(), str(path), digest, str(after)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender:
        assert sender.stdout is not None
        for _ in range(after):
            assert sender.stdout.readline().startswith("part")
        sender.send_signal(signal.SIGKILL)


class Wire:
    """Numbers of the parts that are sent, and what else is called."""

    def __init__(self, vault: S3Vault) -> None:
        self.parts: list[int] = []
        events = vault._bucket._client.meta.events
        events.register("before-call.s3.UploadPart", lambda params, **_: self.parts.append(number_of(params)))


def number_of(params: dict[str, Any]) -> int:
    return int(params["query_string"]["partNumber"])


@pytest.fixture(params=["plain", "encrypted"])
def any_place(request: pytest.FixtureRequest, place: VaultPlace, tmp_path: Path) -> VaultPlace:
    if request.param == "plain":
        return place
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    return place.model_copy(update={"key_file": key})


def test_upload_goes_on_after_its_process_was_killed(
    any_place: VaultPlace, make_vault: MakeVault, large: tuple[Path, str], s3: Any
) -> None:
    path, digest = large
    broken_off(any_place, path, digest, after=2)
    vault = make_vault(key_file=any_place.key_file)
    with pytest.raises(VaultMissing):
        vault.find("inc-1", "e1")
    wire = Wire(vault)
    storage = vault.put_file("inc-1", "e1", "a.bin", path, sha256=digest)
    assert set(wire.parts) <= {3, 4, 5}
    assert b"".join(vault.case("inc-1").read("e1")) == path.read_bytes()
    assert storage.lock_mode == "governance"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET, Prefix=any_place.prefix)
    assert vault.put_file("inc-1", "e1", "a.bin", path, sha256=digest) == storage


def test_part_that_is_not_ours_is_sent_again(
    place: VaultPlace, make_vault: MakeVault, large: tuple[Path, str], s3: Any
) -> None:
    path, digest = large
    broken_off(place, path, digest, after=2)
    (upload,) = s3.list_multipart_uploads(Bucket=BUCKET, Prefix=place.prefix)["Uploads"]
    there = {"Bucket": BUCKET, "Key": upload["Key"], "UploadId": upload["UploadId"]}
    s3.upload_part(**there, PartNumber=1, Body=bytes(PART_BYTES))
    vault = make_vault()
    wire = Wire(vault)
    vault.put_file("inc-1", "e1", "a.bin", path, sha256=digest)
    assert 1 in wire.parts
    assert b"".join(vault.case("inc-1").read("e1")) == path.read_bytes()


def test_upload_that_somebody_aborted_begins_anew(
    place: VaultPlace, make_vault: MakeVault, large: tuple[Path, str], s3: Any
) -> None:
    path, digest = large
    broken_off(place, path, digest, after=2)
    (upload,) = s3.list_multipart_uploads(Bucket=BUCKET, Prefix=place.prefix)["Uploads"]
    s3.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    vault = make_vault()
    vault.put_file("inc-1", "e1", "a.bin", path, sha256=digest)
    assert b"".join(vault.case("inc-1").read("e1", 0, 10)) == path.read_bytes()[:10]


def test_file_that_changes_while_it_is_sent_is_not_kept(
    place: VaultPlace, make_vault: MakeVault, large: tuple[Path, str], s3: Any
) -> None:
    path, digest = large
    broken_off(place, path, digest, after=2)
    with path.open("r+b") as file:
        file.write(b"another")
    vault = make_vault()
    with pytest.raises(VaultMismatch):
        vault.put_file("inc-1", "e1", "a.bin", path, sha256=digest)
    assert "Versions" not in s3.list_object_versions(Bucket=BUCKET, Prefix=f"{place.prefix}/case")


def test_no_more_than_a_few_parts_are_under_way_at_once(make_vault: MakeVault, large: tuple[Path, str]) -> None:
    vault, under_way, most = make_vault(), [0], [0]

    def begun(**_: Any) -> None:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])

    def ended(**_: Any) -> None:
        under_way[0] -= 1

    events = vault._bucket._client.meta.events
    events.register("before-call.s3.UploadPart", begun)
    events.register("after-call.s3.UploadPart", ended)
    vault.put_file("inc-1", "e1", "a.bin", large[0], sha256=large[1])
    assert most[0] <= IN_FLIGHT


def test_server_that_keeps_other_bytes_than_it_was_sent_is_found_out(make_vault: MakeVault, s3: Any) -> None:
    """No server here does so: the answer of HEAD is changed on its way, as a broken one would send it."""
    vault = make_vault()

    def forged(parsed: dict[str, Any], **_: Any) -> None:
        parsed["ChecksumSHA256"] = "A" * 43 + "="

    vault._bucket._client.meta.events.register("after-call.s3.HeadObject", forged)
    with pytest.raises(VaultMismatch, match="expected checksum"):
        vault.put_stream("inc-1", "e1", "a.bin", [b"x"], sha256=hashlib.sha256(b"x").hexdigest())


def test_endpoint_that_goes_away_in_the_middle_leaves_nothing_that_looks_whole(
    make_vault: MakeVault, large: tuple[Path, str]
) -> None:
    vault = make_vault()

    def away(params: dict[str, Any], **_: Any) -> None:
        if number_of(params) >= 3:
            params["url"] = "http://127.0.0.1:9/"

    vault._bucket._client.meta.events.register("before-call.s3.UploadPart", away)
    with pytest.raises(VaultUnavailable):
        vault.put_file("inc-1", "e1", "a.bin", large[0], sha256=large[1])
    with pytest.raises(VaultMissing):
        make_vault().find("inc-1", "e1")
    assert make_vault().put_file("inc-1", "e1", "a.bin", large[0], sha256=large[1]).checksum == large[1]
