"""Object Lock: what the vault asks for is in force on the server, and is only ever made stricter."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from activities.contracts.evidence import Retention, Storage
from activities.evidence.errors import VaultDenied, VaultUnavailable
from activities.evidence.vault.interface import AT_WILL
from activities.evidence.vault.opening import VaultPlace, examine_vault
from activities.evidence.vault.s3 import S3Vault
from tests.activities.evidence.vault.conftest import BUCKET, MakeVault
from tests.activities.evidence.vault.test_s3 import head

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=90)
DAY = timedelta(days=1)


def put(vault: S3Vault, size: int) -> Storage:
    content = bytes(size)
    return vault.put_stream("inc-1", "e1", "a.bin", [content], sha256=hashlib.sha256(content).hexdigest())


def where(storage: Storage) -> dict[str, str]:
    return {"Bucket": BUCKET, "Key": storage.uri.removeprefix(f"s3://{BUCKET}/"), "VersionId": storage.version_id}


@pytest.fixture(params=[100, (16 << 20) + 1], ids=["one request", "parts"])
def kept(request: pytest.FixtureRequest, bucket_vault: S3Vault) -> Storage:
    return put(bucket_vault, request.param)


def refused(call: Any, **arguments: Any) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        call(**arguments)


def test_server_refuses_to_delete_and_to_shorten_what_was_just_uploaded(kept: Storage, s3: Any) -> None:
    """The lock is there from the first moment: nothing was set after the upload."""
    assert kept.retain_until is not None
    refused(s3.delete_object, **where(kept))
    shorter = {"Mode": "GOVERNANCE", "RetainUntilDate": kept.retain_until - DAY}
    refused(s3.put_object_retention, **where(kept), Retention=shorter)


def test_server_refuses_everything_on_a_sealed_item(kept: Storage, bucket_vault: S3Vault, s3: Any) -> None:
    sealed = bucket_vault.retain("inc-1", "e1", Retention(mode="compliance", until=SOON))
    assert (sealed.lock_mode, sealed.retain_until) == ("compliance", SOON)
    for mode, until in (("COMPLIANCE", SOON - DAY), ("GOVERNANCE", SOON + DAY)):
        retention = {"Mode": mode, "RetainUntilDate": until}
        for bypass in (False, True):
            refused(s3.put_object_retention, **where(kept), Retention=retention, BypassGovernanceRetention=bypass)
    refused(s3.delete_object, **where(kept), BypassGovernanceRetention=True)


def test_retention_is_extended_and_never_shortened(kept: Storage, bucket_vault: S3Vault) -> None:
    later = bucket_vault.retain("inc-1", "e1", Retention(mode="governance", until=SOON))
    assert later.retain_until == SOON
    for weaker in (Retention(mode="governance", until=SOON - DAY), AT_WILL, Retention(mode="compliance")):
        assert bucket_vault.retain("inc-1", "e1", weaker) == later
    bucket_vault.retain("inc-1", "e1", Retention(mode="compliance", until=SOON - DAY))
    again = bucket_vault.retain("inc-1", "e1", Retention(mode="governance", until=SOON + DAY))
    assert (again.lock_mode, again.retain_until) == ("compliance", SOON + DAY)


def test_hold_stands_until_it_is_lifted_whatever_the_retention(make_vault: MakeVault, s3: Any) -> None:
    vault = make_vault(lock_days=0)
    kept = put(vault, 100)
    assert (kept.lock_mode, kept.retain_until) == ("write-once", None)
    assert vault.hold("inc-1", "e1", on=True).legal_hold
    refused(s3.delete_object, **where(kept))
    refused(s3.delete_object, **where(kept), BypassGovernanceRetention=True)
    assert not vault.hold("inc-1", "e1", on=False).legal_hold
    assert vault.retain("inc-1", "e1", AT_WILL) == kept


def test_documents_and_heads_are_locked_too(bucket_vault: S3Vault, s3: Any, prefix: str) -> None:
    bucket_vault.put_document("inc-1", "seals", "000001.json", b"{}")
    (version,) = s3.list_object_versions(Bucket=BUCKET, Prefix=f"{prefix}/case/inc-1/seals/")["Versions"]
    refused(s3.delete_object, Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])


def versions(s3: Any, prefix: str) -> list[dict[str, Any]]:
    """The record of the case, the latest head alone."""
    found = s3.list_object_versions(Bucket=BUCKET, Prefix=f"{prefix}/case/inc-1/")["Versions"]
    record = [v for v in found if "/artefacts/" not in v["Key"] and (v["IsLatest"] or "head.json" not in v["Key"])]
    return [{"Bucket": BUCKET, "Key": version["Key"], "VersionId": version["VersionId"]} for version in record]


def test_record_of_a_case_is_locked_as_its_items_are(bucket_vault: S3Vault, s3: Any, prefix: str) -> None:
    """Without its chains and seals no artefact proves anything, and who deletes a first version may forge another."""
    for folder in ("seals", "custody", "manifests", "keys", "documents"):
        bucket_vault.put_document("inc-1", folder, "000001.json", b"{}")
    bucket_vault.put_head(head(1, 1))
    bucket_vault.put_head(head(2, 2))
    bucket_vault.retain_case("inc-1", Retention(mode="compliance", until=SOON))
    bucket_vault.retain_case("inc-1", Retention(mode="governance", until=SOON - DAY))
    found = versions(s3, prefix)
    assert len(found) == 6
    for version in found:
        said = s3.head_object(**version)
        assert (said["ObjectLockMode"], said["ObjectLockRetainUntilDate"]) == ("COMPLIANCE", SOON)
        refused(s3.delete_object, **version, BypassGovernanceRetention=True)


def test_record_of_a_case_is_held_and_let_go_of(make_vault: MakeVault, s3: Any, prefix: str) -> None:
    vault = make_vault(lock_days=0)
    vault.put_document("inc-1", "custody", "000001.json", b"{}")
    vault.put_head(head(1, 1))
    for on in (True, False):
        vault.hold_case("inc-1", on=on)
        status = {s3.head_object(**version).get("ObjectLockLegalHoldStatus") for version in versions(s3, prefix)}
        assert status == {"ON" if on else "OFF"}


def test_bucket_without_object_lock_is_no_vault(make_vault: MakeVault, place: VaultPlace) -> None:
    vault = make_vault(bucket=f"{BUCKET}-unlocked")
    with pytest.raises(VaultDenied):
        examine_vault(place.model_copy(update={"bucket": f"{BUCKET}-unlocked"}))
    with pytest.raises(VaultDenied):
        put(vault, 100)


def test_look_at_a_bucket_changes_nothing(place: VaultPlace) -> None:
    assert examine_vault(place) == f"s3://{BUCKET}/{place.prefix}/ with Object Lock, not encrypted"
    assert not place.directory.exists()
    with pytest.raises(VaultUnavailable):
        examine_vault(place.model_copy(update={"endpoint_url": "http://127.0.0.1:9"}))
