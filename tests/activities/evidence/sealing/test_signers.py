"""Who signs: a key file, and a key in KMS."""

import hashlib
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from moto.server import ThreadedMotoServer

from activities.evidence.errors import SealBroken, SignerAway, SignerUnusable
from activities.evidence.sealing.keys import read_key
from activities.evidence.sealing.seal import Sealing
from activities.evidence.sealing.signers import file_signer, kms_signer
from activities.evidence.sealing.trust import Trust
from activities.orders.keys import KeyUnusable
from tests.activities.evidence.items import make_item
from tests.activities.evidence.sealed import SealedCase


def client(url: str) -> Any:
    return boto3.client(
        "kms",
        endpoint_url=url,
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def kms() -> Iterator[Any]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield client(f"http://{host}:{port}")
    server.stop()


def make_key(kms: Any, spec: str = "ECC_NIST_P256") -> str:
    key: str = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)["KeyMetadata"]["KeyId"]
    return key


def signed_by(case: SealedCase, signer: Any) -> SealedCase:
    sealing = Sealing(case.registry, case.ledger.custody, case.vault, lambda: signer)
    return SealedCase(case.ledger, case.vault, case.registry, sealing, signer)


def test_the_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "evidence-signing.key"
    first, second = file_signer(path), file_signer(path)
    assert first.key.keyid == second.key.keyid
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    public = path.with_name("evidence-signing.pub.pem")
    assert read_key(public.read_bytes(), "it").keyid == first.key.keyid


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evidence-signing.key"
    file_signer(path)
    path.chmod(0o644)
    with pytest.raises(KeyUnusable):
        file_signer(path)


def test_the_fingerprint_is_what_openssl_says(tmp_path: Path) -> None:
    signer = file_signer(tmp_path / "evidence-signing.key")
    command = ["openssl", "pkey", "-pubin", "-in", str(tmp_path / "evidence-signing.pub.pem"), "-outform", "DER"]
    der = subprocess.run(command, check=True, capture_output=True).stdout
    assert hashlib.sha256(der).hexdigest() == signer.key.keyid


def test_a_case_is_sealed_with_a_key_that_stays_in_kms(unstamped: SealedCase, kms: Any) -> None:
    unstamped.register(make_item(unstamped.vault, "sockets"))
    case = signed_by(unstamped, kms_signer(kms, make_key(kms)))
    case.seal()
    verdict = case.verify(Trust(fingerprints=frozenset([case.signer.key.keyid])))
    assert verdict.ok, verdict.first_failure
    assert case.signer.key.algorithm == "ECDSA P-256"


def test_another_kind_of_key_is_refused(kms: Any) -> None:
    with pytest.raises(SignerUnusable, match="no ECC_NIST_P256 key"):
        kms_signer(kms, make_key(kms, "ECC_NIST_P384"))


def test_a_key_that_is_not_there_is_refused_with_the_permissions_it_takes(kms: Any) -> None:
    with pytest.raises(SignerUnusable, match="NotFoundException") as refused:
        kms_signer(kms, "00000000-0000-0000-0000-000000000000")
    assert "kms:Sign" in refused.value.hint


def test_kms_that_does_not_answer_is_asked_again_later() -> None:
    with pytest.raises(SignerAway) as away:
        kms_signer(client("http://127.0.0.1:9"), "alias/x")
    assert away.value.retryable


class Refusing:
    """KMS as it refuses, which moto never does."""

    def __init__(self, code: str, status: int) -> None:
        self._answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}

    def get_public_key(self, **_: str) -> None:
        raise ClientError(self._answer, "GetPublicKey")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ThrottlingException", 400),
        ("DependencyTimeoutException", 503),
        ("KMSInternalException", 500),
        ("KeyUnavailableException", 500),
        ("Whatever", 502),
    ],
)
def test_what_passes_by_itself_in_kms_is_tried_again(code: str, status: int) -> None:
    with pytest.raises(SignerAway, match=code) as away:
        kms_signer(Refusing(code, status), "alias/x")
    assert away.value.retryable


@pytest.mark.parametrize("code", ["AccessDeniedException", "DisabledException", "KMSInvalidStateException"])
def test_what_somebody_has_to_mend_in_kms_is_not_tried_again(code: str) -> None:
    with pytest.raises(SignerUnusable, match=code):
        kms_signer(Refusing(code, 400), "alias/x")


def test_a_file_may_hold_several_keys(tmp_path: Path) -> None:
    signers = [file_signer(tmp_path / name) for name in ("old.key", "new.key")]
    keys = tmp_path / "keys.pem"
    keys.write_bytes(b"# the old one\r\n" + b"# and the new one\n".join(signer.key.pem for signer in signers))
    assert Trust.of([keys]).keys.keys() == {signer.key.keyid for signer in signers}


class LargeMessages:
    """KMS as it answers about messages beyond 4096 bytes, which moto can't: it hashes a digest once more."""

    def __init__(self, *, lies: bool = False) -> None:
        self._key, self._lies, self.kinds = ec.generate_private_key(ec.SECP256R1()), lies, list[str]()

    def get_public_key(self, **_: str) -> dict[str, bytes]:
        public = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return {"PublicKey": public}

    def sign(self, **asked: Any) -> dict[str, bytes]:
        self.kinds.append(asked["MessageType"])
        if asked["MessageType"] == "RAW":
            assert len(asked["Message"]) <= 4096
            return {"Signature": self._key.sign(asked["Message"], ec.ECDSA(SHA256()))}
        digest = bytes(32) if self._lies else asked["Message"]
        return {"Signature": self._key.sign(digest, ec.ECDSA(Prehashed(SHA256())))}


def test_a_large_statement_is_signed_by_its_digest(unstamped: SealedCase) -> None:
    unstamped.register(*(make_item(unstamped.vault, f"item-{number}") for number in range(40)))
    kms = LargeMessages()
    case = signed_by(unstamped, kms_signer(kms, "alias/x"))
    case.seal()
    assert kms.kinds == ["DIGEST"]
    assert case.verify(Trust(fingerprints=frozenset([case.signer.key.keyid]))).ok


def test_a_signature_that_does_not_verify_is_never_kept(unstamped: SealedCase) -> None:
    unstamped.register(*(make_item(unstamped.vault, f"item-{number}") for number in range(40)))
    case = signed_by(unstamped, kms_signer(LargeMessages(lies=True), "alias/x"))
    with pytest.raises(SignerUnusable, match="does not verify"):
        case.seal()
    assert not list((case.folder / "seals").iterdir())


@pytest.mark.parametrize("pem", [b"", b"nonsense", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_key_is_said_to_be_none(pem: bytes) -> None:
    with pytest.raises(SealBroken, match=r"that\.pem"):
        read_key(pem, "that.pem")
