"""Who signs seals: a key file of the control plane, or a key that never leaves AWS KMS.

Owns making the file at first use and asking KMS. The worker alone holds a signer: the API asks it by a workflow.

    signer = file_signer(state_dir / "evidence-signing.key")
    signer = kms_signer(boto3.client("kms"), "alias/firebreak-evidence")
"""

from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar

from botocore.exceptions import BotoCoreError, ClientError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from securesystemslib.signer import CryptoSigner, Key, SecretsHandler, Signature, Signer

from activities.evidence.errors import SignerAway, SignerUnusable
from activities.evidence.sealing.keys import SealKey, seal_key
from activities.orders.keys import load_or_create_key

# What passes by itself, whatever status it comes with (KMS API reference, common errors; AWS SDKs, retry behavior).
_PASSING = frozenset(
    {
        "DependencyTimeoutException",
        "KMSInternalException",
        "KeyUnavailableException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


@dataclass(frozen=True)
class SealSigner:
    """A signer and the public key that goes with it."""

    signer: Signer
    key: SealKey


def file_signer(path: Path) -> SealSigner:
    """Ed25519 with a key file, made at first use with mode 0600; the public half is left beside it.

    Raises:
        KeyUnusable: the file holds something else, or others may read it.
    """
    private = load_or_create_key(path)
    public = seal_key(private.public_key())
    path.with_suffix(".pub.pem").write_bytes(public.pem)
    return SealSigner(CryptoSigner(private, public.key), public)


def kms_signer(client: Any, key: str) -> SealSigner:
    """ECDSA P-256 with a key that stays in KMS; `client` is boto3's.

    Raises:
        SignerUnusable: there is no such key, or it is of another kind.
        SignerAway: KMS does not answer; retryable.
    """
    signer = KmsSigner(client, key)
    return SealSigner(signer, signer.sealing)


class KmsSigner(Signer):
    """ECDSA on P-256 with a key in AWS KMS.

    Needs `kms:GetPublicKey` and `kms:Sign` on the key (KMS API reference, Sign).
    """

    PERMISSIONS: ClassVar[tuple[str, ...]] = ("kms:GetPublicKey", "kms:Sign")
    # KMS hashes a message by itself up to this size; a larger one it signs by its digest (KMS API reference, Sign).
    MAX_MESSAGE_BYTES: ClassVar[int] = 4096

    def __init__(self, client: Any, key: str) -> None:
        self._client, self._key = client, key
        self._public = self._ask_public()

    @property
    def public_key(self) -> Key:
        """The key that verifies."""
        return self._public.key

    @property
    def sealing(self) -> SealKey:
        """The same, as seals name it."""
        return self._public

    @classmethod
    def from_priv_key_uri(
        cls,
        priv_key_uri: str,
        public_key: Key,  # noqa: ARG003 - the base class asks for it
        secrets_handler: SecretsHandler | None = None,  # noqa: ARG003 - as well
    ) -> "KmsSigner":
        """Not offered: a signer is made from our settings, never from what a document names."""
        raise SignerUnusable(f"{priv_key_uri} is not taken.", hint="Set seal_kms_key.")

    def sign(self, payload: bytes) -> Signature:
        """Sign, and check what came back before anybody relies on it.

        Raises:
            SignerAway: KMS does not answer.
            SignerUnusable: it answers with a signature that does not verify.
        """
        whole = len(payload) <= self.MAX_MESSAGE_BYTES
        message = payload if whole else sha256(payload).digest()
        answer = self._call(
            "sign",
            KeyId=self._key,
            Message=message,
            MessageType="RAW" if whole else "DIGEST",
            SigningAlgorithm="ECDSA_SHA_256",
        )
        self._check(answer["Signature"], payload)
        return Signature(self._public.keyid, answer["Signature"].hex())

    def _ask_public(self) -> SealKey:
        public = load_der_public_key(self._call("get_public_key", KeyId=self._key)["PublicKey"])
        if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
            raise SignerUnusable(
                f"The KMS key {self._key} is no ECC_NIST_P256 key.",
                hint="Make one with usage SIGN_VERIFY and spec ECC_NIST_P256.",
            )
        self._verifier = public
        return seal_key(public)

    def _check(self, signature: bytes, payload: bytes) -> None:
        try:
            self._verifier.verify(signature, payload, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise SignerUnusable(
                f"KMS signed with {self._key}, and the signature does not verify.", hint="Look at the key in KMS."
            ) from error

    def _call(self, operation: str, **given: Any) -> Any:
        try:
            return getattr(self._client, operation)(**given)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR or code in _PASSING:
                raise SignerAway(f"KMS is not able to {operation} now: {code}.", hint="It is tried again.") from error
            raise SignerUnusable(
                f"KMS refused {operation} with {self._key}: {code}.",
                hint=f"The worker needs {', '.join(self.PERMISSIONS)} on it.",
            ) from error
        except BotoCoreError as error:
            raise SignerAway(f"KMS does not answer: {error}.", hint="It is tried again.") from error
