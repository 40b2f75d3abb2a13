"""Cases of many documents: locked and held side by side, each by what S3 says of it, and read in few round trips."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from activities.contracts.evidence import Retention
from activities.evidence.errors import VaultDenied, VaultMissing
from activities.evidence.vault import s3_ahead
from activities.evidence.vault.interface import AT_WILL
from activities.evidence.vault.s3 import S3Vault
from tests.activities.evidence.vault.conftest import MakeVault
from tests.activities.evidence.vault.test_s3 import head
from tests.activities.evidence.vault.test_s3_locks import versions

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=90)
SEALED = Retention(mode="compliance", until=SOON)
NAMES = [f"{number:06d}@collect.json" for number in range(1, 41)]


@pytest.fixture
def vault(make_vault: MakeVault) -> S3Vault:
    """A case of forty events and a head."""
    made = make_vault(lock_days=0)
    for name in NAMES:
        made.put_document("inc-1", "custody", name, name.encode())
    made.put_head(head(1, 1))
    return made


def asked(vault: S3Vault) -> Counter[str]:
    """What is asked of S3 from now on, by operation."""
    found, lock = Counter[str](), threading.Lock()

    def note(model: Any, **_: Any) -> None:
        with lock:
            found[model.name] += 1

    vault._bucket._client.meta.events.register("before-call.s3", note)
    return found


def refusing(vault: S3Vault, operation: str, name: str, status: int = 403, code: str = "AccessDenied") -> None:
    """One document is refused: this server refuses nobody, so the answer is changed on its way."""
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode() if code else b""

    class Raw:
        def stream(self, *_: Any, **__: Any) -> list[bytes]:
            return [body]

    def answer(request: Any, **_: Any) -> AWSResponse | None:
        refused = name in request.url.replace("%40", "@")
        return AWSResponse("http://s3", status, {"content-type": "application/xml"}, Raw()) if refused else None

    vault._bucket._client.meta.events.register(f"before-send.s3.{operation}", answer)


def held(s3: Any, prefix: str) -> int:
    said = [s3.head_object(**version).get("ObjectLockLegalHoldStatus") for version in versions(s3, prefix)]
    return said.count("ON")


def test_refused_document_is_named_and_asking_again_completes_the_hold(
    vault: S3Vault, make_vault: MakeVault, s3: Any, prefix: str
) -> None:
    refusing(vault, "PutObjectLegalHold", NAMES[19])
    with pytest.raises(VaultDenied, match=f"put_object_legal_hold of .*{NAMES[19]}: AccessDenied"):
        vault.hold_case("inc-1", on=True)
    # Whatever stands before it, as if they had been asked one after another; and none is let go of again.
    assert 19 <= held(s3, prefix) < len(NAMES)
    make_vault().hold_case("inc-1", on=True)
    assert held(s3, prefix) == len(NAMES) + 1


def test_first_of_several_refused_documents_is_the_one_that_is_named(vault: S3Vault) -> None:
    for name in (NAMES[9], NAMES[5]):
        refusing(vault, "PutObjectRetention", name)
    with pytest.raises(VaultDenied, match=NAMES[5]):
        vault.retain_case("inc-1", SEALED)


def test_hold_that_did_not_come_about_is_told_with_what_was_expected(vault: S3Vault) -> None:
    """A server that takes the call and ignores it."""
    refusing(vault, "PutObjectLegalHold", NAMES[0], status=200, code="")
    with pytest.raises(VaultDenied, match=f"{NAMES[0]} is off, expected on"):
        vault.hold_case("inc-1", on=True)


def test_lock_that_nobody_can_lift_is_asked_for_once(vault: S3Vault, make_vault: MakeVault) -> None:
    vault.retain_case("inc-1", SEALED)
    vault.put_document("inc-1", "custody", "000041@seal.json", b"{}")
    calls = asked(vault)
    vault.retain_case("inc-1", SEALED)
    assert (calls["HeadObject"], calls["PutObjectRetention"]) == (2, 1)
    calls.clear()
    vault.retain_case("inc-1", Retention(mode="compliance", until=SOON + timedelta(days=1)))
    assert calls["PutObjectRetention"] == len(NAMES) + 2
    another = make_vault()
    calls = asked(another)
    another.retain_case("inc-1", SEALED)
    assert (calls["HeadObject"], calls["PutObjectRetention"]) == (len(NAMES) + 2, 0)


def test_lock_and_hold_that_somebody_can_lift_are_asked_for_each_time(vault: S3Vault, s3: Any, prefix: str) -> None:
    vault.retain_case("inc-1", Retention(mode="governance", until=SOON))
    vault.hold_case("inc-1", on=True)
    lost = versions(s3, prefix)[3]
    s3.put_object_legal_hold(**lost, LegalHold={"Status": "OFF"})
    sooner = {"Mode": "GOVERNANCE", "RetainUntilDate": SOON - timedelta(days=30)}
    s3.put_object_retention(**lost, Retention=sooner, BypassGovernanceRetention=True)
    vault.retain_case("inc-1", Retention(mode="governance", until=SOON))
    vault.hold_case("inc-1", on=True)
    said = s3.head_object(**lost)
    assert (said["ObjectLockLegalHoldStatus"], said["ObjectLockRetainUntilDate"]) == ("ON", SOON)


def test_where_no_lock_is_asked_for_none_is_looked_at(vault: S3Vault) -> None:
    calls = asked(vault)
    vault.retain_case("inc-1", AT_WILL)
    assert (calls["HeadObject"], calls["PutObjectRetention"]) == (0, 0)


def test_who_reads_in_order_gets_the_same_as_who_asks_one_by_one(
    vault: S3Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_ahead, "AHEAD_BYTES", 5 * len(NAMES[0]))
    calls, reader = asked(vault), vault.case("inc-1")
    assert [reader.document("custody", name) for name in reader.documents("custody")] == [n.encode() for n in NAMES]
    assert calls["GetObject"] == len(NAMES)
    calls.clear()
    for name in (NAMES[20], NAMES[5], NAMES[5], NAMES[0], NAMES[-1]):
        assert reader.document("custody", name) == name.encode()
    assert calls["GetObject"] == 5


def test_documents_ahead_are_fetched_side_by_side(vault: S3Vault) -> None:
    """Four of them wait for each other: one after another would never end."""
    together = threading.Barrier(4, timeout=10)
    reader = vault.case("inc-1")
    (first, *others) = reader.documents("custody")[:5]
    assert reader.document("custody", first) == first.encode()

    def wait(request: Any, **_: Any) -> None:
        if any(name in request.url.replace("%40", "@") for name in others):
            together.wait()

    vault._bucket._client.meta.events.register("before-send.s3.GetObject", wait)
    assert reader.document("custody", others[0]) == others[0].encode()


def test_document_that_can_not_be_read_fails_for_itself_alone(vault: S3Vault) -> None:
    refusing(vault, "GetObject", NAMES[6], status=404, code="NoSuchVersion")
    reader = vault.case("inc-1")
    for name in reader.documents("custody"):
        if name == NAMES[6]:
            with pytest.raises(VaultMissing, match=NAMES[6]):
                reader.document("custody", name)
        else:
            assert reader.document("custody", name) == name.encode()


def test_newest_of_many_heads_is_found(vault: S3Vault, s3: Any, prefix: str) -> None:
    for length in range(2, 14):
        vault.put_head(head(length, length))
    found = vault.case("inc-1").head()
    assert found is not None
    assert found.custody == 13
    where = {"Bucket": vault._bucket.name, "Key": f"{prefix}/case/inc-1/head.json"}
    for _ in range(12):
        s3.delete_object(**where)
    assert vault.case("inc-1").head() == found
