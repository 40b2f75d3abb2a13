"""The keys that encrypt the keys of artefacts, and the one that is a file on this machine.

Owns wrapping and unwrapping of data keys. A wrapped key is bound to the digest of the artefact it is for. That of
AWS KMS is `kms`.

    keys = FileKeys.read(Path("vault.key"))
    wrapped = keys.wrap(os.urandom(32), digest)     # -> WrappedKey
"""

import base64
import hashlib
import os
import stat
from pathlib import Path
from typing import Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from activities.evidence.errors import VaultKeyRefused
from segmentation.workloads import Frozen

KEY_BYTES, _NONCE_BYTES = 32, 12
_MAKE = "Make one: (umask 077; head -c 32 /dev/urandom > FILE). Keep a copy elsewhere."


class WrappedKey(Frozen):
    """A data key, encrypted; worth nothing without the key it names."""

    key_id: str
    wrapped: str


class Keys(Protocol):
    """What encrypts data keys; `key_id` names it in manifests."""

    @property
    def key_id(self) -> str:
        """Which key new artefacts are encrypted with."""

    def wrap(self, data_key: bytes, sha256: str) -> WrappedKey:
        """Encrypt a data key for the artefact of this digest."""

    def unwrap(self, wrapped: WrappedKey, sha256: str) -> bytes:
        """The data key again; raises VaultKeyRefused where it is not ours."""


class FileKeys:
    """A key of 32 bytes in a file that only its owner reads."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self.key_id = f"file:{hashlib.sha256(b'firebreak/vault-key/1' + key).hexdigest()[:16]}"

    @classmethod
    def read(cls, path: Path) -> Self:
        """The key of a file.

        Raises:
            VaultKeyRefused: there is none, others may read it, or it is not 32 bytes long.
        """
        try:
            with path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                key = file.read(KEY_BYTES + 1)
        except OSError as error:
            raise VaultKeyRefused(f"The vault's key {path} can't be read: {error.strerror}.", hint=_MAKE) from error
        if mode & 0o077:
            raise VaultKeyRefused(f"{path} has mode {mode:04o}, expected 0600.", hint="chmod 0600; others may know it.")
        if len(key) != KEY_BYTES:
            long = f"{len(key)}" if len(key) < KEY_BYTES else f"more than {KEY_BYTES}"
            raise VaultKeyRefused(f"{path} holds {long} bytes, expected {KEY_BYTES}.", hint=_MAKE)
        return cls(key)

    def wrap(self, data_key: bytes, sha256: str) -> WrappedKey:
        """AES-256-GCM with a random nonce, bound to the digest."""
        nonce = os.urandom(_NONCE_BYTES)
        wrapped = nonce + self._cipher.encrypt(nonce, data_key, self._bound(sha256))
        return WrappedKey(key_id=self.key_id, wrapped=base64.b64encode(wrapped).decode())

    def unwrap(self, wrapped: WrappedKey, sha256: str) -> bytes:
        """The data key again."""
        if wrapped.key_id != self.key_id:
            raise other_key(wrapped.key_id, self.key_id)
        try:
            raw = base64.b64decode(wrapped.wrapped, validate=True)
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], self._bound(sha256))
        except (InvalidTag, ValueError) as error:
            raise not_opened(self.key_id) from error

    def _bound(self, sha256: str) -> bytes:
        return f"{self.key_id}\n{sha256}".encode()


def other_key(found: str, ours: str) -> VaultKeyRefused:
    """The key is not the one that is asked for."""
    return VaultKeyRefused(
        f"The artefact is encrypted with {found}, the vault was opened with {ours}.", hint="Open it with that key."
    )


def not_opened(key_id: str) -> VaultKeyRefused:
    """The key does not open what is said to be wrapped by it."""
    return VaultKeyRefused(
        f"{key_id} does not open the artefact's key.", hint="The artefact's header was altered, or the key is another."
    )
