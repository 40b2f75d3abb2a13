"""A key of AWS KMS that encrypts the keys of artefacts; it never enters this process.

Owns the two calls, kms:Encrypt to keep and kms:Decrypt to read, with the artefact's digest as encryption context.

    keys = KmsKeys(boto3.client("kms"), "alias/firebreak-vault")
"""

import base64
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from activities.evidence.errors import VaultKeyRefused, VaultUnavailable
from activities.evidence.vault.keys import WrappedKey, not_opened, other_key

PERMISSIONS = frozenset({"kms:Decrypt", "kms:Encrypt"})
# KMS answers so when what it is given, or the context, is not what it encrypted (KMS API reference, Decrypt).
_NOT_OURS = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
_REFUSED = frozenset(
    {
        "AccessDeniedException",
        "NotFoundException",
        "DisabledException",
        "KMSInvalidStateException",
        "InvalidKeyUsageException",
    }
)


class KmsKeys:
    """A key of AWS KMS; needs kms:Encrypt to keep, kms:Decrypt to read."""

    def __init__(self, client: Any, key: str) -> None:
        self._client, self._key = client, key
        self.key_id = f"kms:{key}"

    def wrap(self, data_key: bytes, sha256: str) -> WrappedKey:
        """Encrypted by KMS, with the digest as its context."""
        answer = self._ask("encrypt", KeyId=self._key, Plaintext=data_key, EncryptionContext=_context(sha256))
        return WrappedKey(key_id=self.key_id, wrapped=base64.b64encode(answer["CiphertextBlob"]).decode())

    def unwrap(self, wrapped: WrappedKey, sha256: str) -> bytes:
        """Decrypted by KMS with the key that the artefact names, whichever is set for new ones."""
        kind, _, key = wrapped.key_id.partition(":")
        if kind != "kms":
            raise other_key(wrapped.key_id, self.key_id)
        try:
            blob = base64.b64decode(wrapped.wrapped, validate=True)
        except ValueError as error:
            raise not_opened(wrapped.key_id) from error
        answer = self._ask("decrypt", KeyId=key, CiphertextBlob=blob, EncryptionContext=_context(sha256))
        return bytes(answer["Plaintext"])

    def _ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**arguments)
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            if code in _NOT_OURS:
                raise not_opened(f"kms:{arguments['KeyId']}") from error
            if code in _REFUSED:
                raise VaultKeyRefused(
                    f"KMS refused to {operation} with {arguments['KeyId']}: {code}: {message}",
                    hint=f"The vault's role needs kms:{operation.capitalize()}, and the key must be enabled.",
                ) from error
            raise VaultUnavailable(f"KMS did not {operation}: {code}: {message}", hint="It is tried again.") from error
        except BotoCoreError as error:
            raise VaultUnavailable(f"KMS did not answer: {error}", hint="It is tried again.") from error
        return answer


def _context(sha256: str) -> dict[str, str]:
    return {"firebreak:sha256": sha256}
