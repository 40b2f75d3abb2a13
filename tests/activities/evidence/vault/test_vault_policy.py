"""The role of the vault may do what the vault does, and nothing that undoes it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from activities.contracts.evidence import Retention
from activities.evidence.vault import kms
from activities.evidence.vault.bucket import BUCKET_PERMISSIONS, OBJECT_PERMISSIONS
from activities.evidence.vault.interface import AT_WILL
from activities.evidence.vault.multipart import PART_BYTES
from tests.activities.evidence.vault.conftest import MakeVault
from tests.activities.evidence.vault.test_s3 import head, put

POLICY = Path(__file__).parents[4] / "deploy" / "aws" / "vault-policy.json"
# Service Authorization Reference, "Actions defined by Amazon S3": what an operation of ours needs.
NEEDED = {
    "AbortMultipartUpload": {"s3:AbortMultipartUpload"},
    "CompleteMultipartUpload": {"s3:PutObject"},
    "CreateMultipartUpload": {"s3:PutObject", "s3:PutObjectRetention"},
    "GetObject": {"s3:GetObjectVersion"},
    "GetObjectLockConfiguration": {"s3:GetBucketObjectLockConfiguration"},
    "HeadObject": {"s3:GetObjectVersion", "s3:GetObjectRetention", "s3:GetObjectLegalHold"},
    "ListObjectVersions": {"s3:ListBucketVersions"},
    "PutObject": {"s3:PutObject", "s3:PutObjectRetention", "s3:GetObject"},
    "PutObjectLegalHold": {"s3:PutObjectLegalHold"},
    "PutObjectRetention": {"s3:PutObjectRetention"},
    "UploadPart": {"s3:PutObject"},
}


def actions(effect: str) -> set[str]:
    statements = json.loads(POLICY.read_text())["Statement"]
    return {action for said in statements if said["Effect"] == effect for action in said["Action"]}


def test_policy_allows_what_the_code_declares_and_no_more() -> None:
    assert actions("Allow") == BUCKET_PERMISSIONS | OBJECT_PERMISSIONS | kms.PERMISSIONS
    assert {"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"} <= actions("Deny")
    assert not actions("Allow") & actions("Deny")


def test_vault_calls_nothing_that_it_has_not_declared(make_vault: MakeVault) -> None:
    vault, called = make_vault(), set[str]()

    def note(model: Any, **_: Any) -> None:
        called.add(model.name)

    vault._bucket._client.meta.events.register("before-call.s3", note)
    vault._bucket.check_lock()
    put(vault)
    put(vault, bytes(PART_BYTES + 1), evidence_id="e2")
    vault.put_head(head(1, 1))
    vault.put_head(head(2, 2))
    vault.hold("inc-1", "e1", on=True)
    vault.retain("inc-1", "e1", AT_WILL)
    vault.retain_case("inc-1", Retention(mode="governance", until=datetime.now(UTC) + timedelta(days=90)))
    vault.hold_case("inc-1", on=True)
    assert b"".join(vault.case("inc-1").read("e1"))
    assert called <= set(NEEDED)
    assert set.union(*(NEEDED[name] for name in called)) <= BUCKET_PERMISSIONS | OBJECT_PERMISSIONS
