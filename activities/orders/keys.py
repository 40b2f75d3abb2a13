"""Ed25519 keys of the control plane and of each host.

Owns making, keeping (mode 0600) and naming them. Never sends a private key anywhere.

    key = load_or_create_key(state_dir / "control.key")
    public_bytes(key.public_key())        # 32 bytes, what an agent pins when it joins
"""

import os
from pathlib import Path
from typing import ClassVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from segmentation.errors import FirebreakError


class KeyUnusable(FirebreakError):
    """A key file that is not what it should be."""

    code: ClassVar[str] = "key-unusable"


def load_or_create_key(path: Path) -> Ed25519PrivateKey:
    """The key in `path`; made there, readable by its owner alone, if there is none.

    Raises:
        KeyUnusable: the file holds something else, or others may read it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return load_key(path)
    with os.fdopen(handle, "wb") as file:
        key = Ed25519PrivateKey.generate()
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        os.fsync(file.fileno())
    return key


def load_control_key(state_dir: Path) -> Ed25519PrivateKey:
    """The key that signs orders, made at first use; its public half is left beside it for the API."""
    key = load_or_create_key(state_dir / "control.key")
    (state_dir / "control.pub").write_bytes(public_bytes(key.public_key()))
    return key


def load_or_create_secret(path: Path) -> bytes:
    """32 random bytes in `path`; made there, readable by its owner alone, if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(handle, "wb") as file:
        secret = os.urandom(32)
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    return secret


def load_key(path: Path) -> Ed25519PrivateKey:
    """The key in `path`, refused if others may read it."""
    if path.stat().st_mode & 0o077:
        raise KeyUnusable(
            f"{path} may be read by others (mode {path.stat().st_mode & 0o777:o}), expected 600.",
            hint=f"Make a new key, or run: chmod 600 {path}",
        )
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise KeyUnusable(
            f"{path} holds no PEM private key.", hint="Restore it, or remove it and join again."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{path} holds a {type(key).__name__}, expected Ed25519.", hint="Remove it and join again.")
    return key


def public_bytes(key: Ed25519PublicKey) -> bytes:
    """The 32 raw bytes of a public key (RFC 8032)."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
