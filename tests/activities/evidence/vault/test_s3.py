"""A vault in a bucket: the same promises as a directory's, and what S3 says is asked back from it."""

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import boto3
import pytest

from activities.evidence.errors import (
    VaultConflict,
    VaultDenied,
    VaultMismatch,
    VaultMissing,
    VaultRefused,
    VaultUnavailable,
)
from activities.evidence.vault.interface import Kept
from activities.evidence.vault.layout import Head
from activities.evidence.vault.opening import VaultPlace, open_vault
from activities.evidence.vault.s3 import S3Vault
from lab.aws_server import AwsServer
from tests.activities.evidence.vault.conftest import BUCKET, MakeVault

CONTENT = b"evidence" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
KEY = "case/inc-1/artefacts/e1@a.bin"


def put(vault: S3Vault, content: bytes = CONTENT, evidence_id: str = "e1", name: str = "a.bin") -> Any:
    digest = hashlib.sha256(content).hexdigest()
    return vault.put_stream("inc-1", evidence_id, name, [content], sha256=digest, size=len(content))


def read(vault: S3Vault, start: int = 0, length: int | None = None) -> bytes:
    return b"".join(vault.case("inc-1").read("e1", start, length))


@pytest.fixture(params=["plain", "encrypted"])
def vault(request: pytest.FixtureRequest, make_vault: MakeVault, tmp_path: Path) -> S3Vault:
    if request.param == "plain":
        return make_vault()
    path = tmp_path / "key"
    path.write_bytes(os.urandom(32))
    path.chmod(0o600)
    return make_vault(key_file=path)


@pytest.mark.parametrize("size", [0, 5, (16 << 20) + 1])
def test_item_is_read_as_it_came_whole_and_in_parts(vault: S3Vault, size: int) -> None:
    content = os.urandom(size)
    storage = put(vault, content)
    assert put(vault, content) == storage
    assert read(vault) == content
    assert read(vault, size // 2, 1000) == content[size // 2 :][:1000]
    assert vault.find("inc-1", "e1") == Kept(evidence_id="e1", name="a.bin", size=size)
    assert vault.case("inc-1").artefacts() == [vault.find("inc-1", "e1")]


def test_what_is_stored_is_what_storage_says(bucket_vault: S3Vault, s3: Any, prefix: str) -> None:
    storage = put(bucket_vault)
    stored = s3.get_object(Bucket=BUCKET, Key=f"{prefix}/{KEY}", VersionId=storage.version_id)
    assert stored["Body"].read() == CONTENT
    assert (storage.checksum, storage.uri) == (DIGEST, f"s3://{BUCKET}/{prefix}/{KEY}")
    assert (storage.lock_mode, stored["ObjectLockMode"]) == ("governance", "GOVERNANCE")
    assert storage.retain_until == stored["ObjectLockRetainUntilDate"]


def test_key_of_kms_encrypts_and_opens_again(make_vault: MakeVault, aws: AwsServer) -> None:
    key = boto3.client("kms", endpoint_url=aws.url).create_key()["KeyMetadata"]["KeyId"]
    vault = make_vault(kms_key=key)
    assert put(vault).encryption == f"AES-256-GCM-STREAM kms:{key}"
    assert read(vault) == CONTENT


def test_encrypted_bytes_are_all_that_the_bucket_sees(
    make_vault: MakeVault, tmp_path: Path, s3: Any, prefix: str
) -> None:
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    storage = put(make_vault(key_file=key))
    stored = s3.get_object(Bucket=BUCKET, Key=f"{prefix}/{KEY}@enc")["Body"].read()
    assert hashlib.sha256(stored).hexdigest() == storage.checksum != DIGEST
    assert CONTENT[:32] not in stored
    assert storage.encryption.startswith("AES-256-GCM-STREAM file:")


@pytest.mark.parametrize(("content", "name"), [(b"other", "a.bin"), (CONTENT, "b.bin")])
def test_other_bytes_or_another_name_under_a_known_id_are_refused(vault: S3Vault, content: bytes, name: str) -> None:
    put(vault)
    with pytest.raises(VaultConflict, match="came again"):
        put(vault, content, name=name)
    assert read(vault) == CONTENT


def test_bytes_that_are_not_what_was_announced_leave_nothing(
    vault: S3Vault, tmp_path: Path, s3: Any, prefix: str
) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(17 << 20))
    for size, given in ((1, DIGEST), (None, "0" * 64)):
        with pytest.raises(VaultMismatch):
            vault.put_stream("inc-1", "e1", "a.bin", [CONTENT], sha256=given, size=size)
    with pytest.raises(VaultMismatch):
        vault.put_file("inc-1", "e1", "a.bin", path, sha256=DIGEST)
    assert "Versions" not in s3.list_object_versions(Bucket=BUCKET, Prefix=prefix)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix)


def test_later_version_and_delete_marker_change_nothing_that_is_read(vault: S3Vault, s3: Any, prefix: str) -> None:
    storage = put(vault)
    (key,) = {v["Key"] for v in s3.list_object_versions(Bucket=BUCKET, Prefix=f"{prefix}/case")["Versions"]}
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"forged")
    assert read(vault) == CONTENT
    s3.delete_object(Bucket=BUCKET, Key=key)
    assert read(vault) == CONTENT
    assert put(vault) == storage
    with pytest.raises(VaultConflict):
        put(vault, b"forged")


def test_documents_are_kept_once_and_read_in_order(bucket_vault: S3Vault, s3: Any, prefix: str) -> None:
    for name in ("000002@b.json", "000001@a.json"):
        bucket_vault.put_document("inc-1", "custody", name, name.encode())
        bucket_vault.put_document("inc-1", "custody", name, name.encode())
    case = bucket_vault.case("inc-1")
    assert case.documents("custody") == ["000001@a.json", "000002@b.json"]
    assert case.document("custody", "000002@b.json") == b"000002@b.json"
    with pytest.raises(VaultConflict):
        bucket_vault.put_document("inc-1", "custody", "000001@a.json", b"another history")
    s3.put_object(Bucket=BUCKET, Key=f"{prefix}/case/inc-1/custody/000001@a.json", Body=b"forged")
    assert bucket_vault.case("inc-1").document("custody", "000001@a.json") == b"000001@a.json"
    with pytest.raises(VaultMissing):
        case.document("custody", "000003@c.json")


def head(manifests: int, custody: int, end: str = "") -> Head:
    def digest(count: int) -> str:
        return hashlib.sha256(f"{count}{end}".encode()).hexdigest()

    ends = {"manifest_head": digest(manifests), "custody_head": digest(custody)}
    return Head.model_validate({"case_id": "inc-1", "manifests": manifests, "custody": custody} | ends)


def test_head_only_ever_grows(bucket_vault: S3Vault, s3: Any, prefix: str) -> None:
    for said, stands in (((1, 1), (1, 1)), ((3, 4), (3, 4)), ((2, 3), (3, 4)), ((2, 5), (3, 5)), ((3, 5), (3, 5))):
        bucket_vault.put_head(head(*said))
        assert bucket_vault.case("inc-1").head() == head(*stands)
    s3.delete_object(Bucket=BUCKET, Key=f"{prefix}/case/inc-1/head.json")
    assert bucket_vault.case("inc-1").head() == head(3, 5)
    bucket_vault.put_head(head(3, 6))
    assert bucket_vault.case("inc-1").head() == head(3, 6)
    with pytest.raises(VaultConflict, match="another end"):
        bucket_vault.put_head(head(3, 6, end="of another history"))


def test_writers_on_several_machines_never_replace_a_newer_head(make_vault: MakeVault, tmp_path: Path) -> None:
    vaults = [make_vault(directory=tmp_path / f"machine-{number}") for number in range(4)]

    def write(vault: S3Vault) -> None:
        for count in range(1, 8):
            with vault.locked("inc-1"):
                vault.put_head(head(count, count))

    threads = [threading.Thread(target=write, args=(vault,)) for vault in vaults]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert vaults[0].case("inc-1").head() == head(7, 7)


@pytest.mark.parametrize("change", [{"case_id": "../x"}, {"evidence_id": "e@f"}, {"name": "../head.json"}])
def test_names_that_lead_elsewhere_are_refused(bucket_vault: S3Vault, change: dict[str, str]) -> None:
    said = {"case_id": "inc-1", "evidence_id": "e1", "name": "a.bin"} | change
    with pytest.raises(VaultRefused):
        bucket_vault.put_stream(said["case_id"], said["evidence_id"], said["name"], [CONTENT], sha256=DIGEST)


def test_bucket_that_is_away_is_unavailable_and_an_unknown_one_refused(place: VaultPlace, credentials: None) -> None:
    with pytest.raises(VaultUnavailable, match="does not answer"):
        put(open_vault(place.model_copy(update={"endpoint_url": "http://127.0.0.1:9"})))  # type: ignore[arg-type]
    with pytest.raises(VaultDenied, match="NoSuchBucket"):
        put(open_vault(place.model_copy(update={"bucket": "nobodys-bucket"})))  # type: ignore[arg-type]
