"""A bucket that takes nothing for a while: the copy of a case lags, and follows; a bucket that lost links is named."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.contracts.custody import Authority, CaseVerdict, RegisterEvidence, VerifyCase
from activities.evidence.agreement import copy_late
from activities.evidence.errors import VaultUnavailable
from activities.evidence.register import EvidenceRegistry
from activities.evidence.vault.s3 import S3Vault
from activities.ledger.ledger import Ledger
from tests.activities.evidence.items import CASE, make_item
from tests.activities.evidence.vault.conftest import BUCKET, MakeVault
from tests.activities.evidence.vault.test_s3_passing import answering


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.db")
    yield opened
    opened.close()


def verified(registry: EvidenceRegistry) -> CaseVerdict:
    return registry.verify_case(VerifyCase(incident_id=CASE, actor="user:ada", purpose="test"))


def registered(ledger: Ledger, vault: S3Vault) -> EvidenceRegistry:
    registry = EvidenceRegistry(ledger.custody, vault)
    request = RegisterEvidence(
        incident_id=CASE,
        items=(make_item(vault, "sockets"),),
        collector="agent:web",
        attested=True,
        authority=Authority(),
        containment_state="isolated",
    )
    ActivityEnvironment().run(registry.register_evidence, request)
    return registry


def take_newest_away(s3: Any, case: str) -> None:
    """As the bucket's owner may, so that all hashes agree: the last event, and the head that tells of it."""
    events = s3.list_object_versions(Bucket=BUCKET, Prefix=f"{case}/custody/")["Versions"]
    heads = s3.list_object_versions(Bucket=BUCKET, Prefix=f"{case}/head.json")["Versions"]
    for version in (max(events, key=lambda event: event["Key"]), next(head for head in heads if head["IsLatest"])):
        where = {"Key": version["Key"], "VersionId": version["VersionId"]}
        s3.delete_object(Bucket=BUCKET, BypassGovernanceRetention=True, **where)


def test_a_bucket_that_was_away_lags_until_it_is_copied_and_is_named_once_it_lost_what_it_had(
    ledger: Ledger, make_vault: MakeVault, s3: Any, prefix: str
) -> None:
    vault, away = make_vault(), make_vault()
    registry = registered(ledger, vault)
    answering(away, "PutObject", 409, "OperationAborted")
    blind = EvidenceRegistry(ledger.custody, away)
    with pytest.raises(VaultUnavailable):
        blind.record(CASE, None, action="access", actor="user:ada", purpose="look")
    verdict = verified(blind)
    assert (verdict.ok, verdict.behind) == (True, 1)
    assert "lags behind the ledger by 2 documents" in verdict.warnings[-1]
    assert copy_late(ledger.custody, vault, CASE) == ""
    assert (verified(registry).ok, verified(registry).behind) == (True, 0)

    with pytest.raises(VaultUnavailable):
        blind.record(CASE, None, action="access", actor="user:ada", purpose="look")
    take_newest_away(s3, f"{prefix}/case/{CASE}")
    verdict = verified(registry)
    assert (verdict.ok, "were copied by" in verdict.first_failure) == (False, True), verdict.first_failure
