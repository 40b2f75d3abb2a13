"""Ed25519 keys of the control plane and of each host.

Owns making, keeping (mode 0600) and naming them. Never sends a private key anywhere.

    key = load_or_create_key(state_dir / "control.key")
    public_bytes(key.public_key())        # 32 bytes, what an agent pins when it joins
"""

import os
import tempfile
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

SECRET_BYTES = 32


class KeyUnusable(FirebreakError):
    """A key file that is not what it should be."""

    code: ClassVar[str] = "key-unusable"


def load_or_create_key(path: Path) -> Ed25519PrivateKey:
    """The key in `path`; made there, readable by its owner alone, if there is none.

    Raises:
        KeyUnusable: the file holds something else, or others may read it.
    """
    key = Ed25519PrivateKey.generate()
    if not path.exists() and _create(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())):
        return key
    return load_key(path)


def load_control_key(state_dir: Path) -> Ed25519PrivateKey:
    """The key that signs orders, made at first use; its public half is left beside it for the API."""
    key = load_or_create_key(state_dir / "control.key")
    (state_dir / "control.pub").write_bytes(public_bytes(key.public_key()))
    return key


def load_or_create_secret(path: Path) -> bytes:
    """32 random bytes in `path`; made there, readable by its owner alone, if there is none.

    Raises:
        KeyUnusable: the file holds something else, or others may read it.
    """
    if not path.exists():
        _create(path, os.urandom(SECRET_BYTES))
    _refuse_if_others_read(path)
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise KeyUnusable(
            f"{path} holds {len(secret)} bytes, expected {SECRET_BYTES}.",
            hint="Restore it, or remove it and start every process of the control plane again.",
        )
    return secret


def load_key(path: Path) -> Ed25519PrivateKey:
    """The key in `path`, refused if others may read it."""
    _refuse_if_others_read(path)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:  # TypeError: it is encrypted
        hint = "Restore it, or remove it and join again."
        raise KeyUnusable(f"{path} holds no PEM private key without a password.", hint=hint) from error
    if not isinstance(key, Ed25519PrivateKey):
        kind = type(key).__name__
        raise KeyUnusable(f"{path} holds a {kind}, expected Ed25519.", hint="Remove it and join again.")
    return key


def _create(path: Path, content: bytes) -> bool:
    """Put a file there in one piece, for its owner alone; False if another process was quicker.

    Linked when it is complete: nobody ever reads the empty file that a crash or a race would leave.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # its mode is 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        return False
    finally:
        Path(draft).unlink()
    return True


def _refuse_if_others_read(path: Path) -> None:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise KeyUnusable(
            f"{path} may be read by others (mode {mode:o}), expected 600.",
            hint=f"Make a new key, or run: chmod 600 {path}",
        )


def public_bytes(key: Ed25519PublicKey) -> bytes:
    """The 32 raw bytes of a public key (RFC 8032)."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
