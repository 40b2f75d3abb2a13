"""Key files: made once, for their owner alone, and refused when they are anything else."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from activities.orders.keys import (
    KeyUnusable,
    load_control_key,
    load_key,
    load_or_create_key,
    load_or_create_secret,
    public_bytes,
)


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def pem(
    key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey, encryption: KeySerializationEncryption | None = None
) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "agent.key"
    made, again = load_or_create_key(path), load_or_create_key(path)

    assert public_bytes(made.public_key()) == public_bytes(again.public_key())
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_public_half_of_the_control_key_lies_beside_it(tmp_path: Path) -> None:
    key = load_control_key(tmp_path)

    assert (tmp_path / "control.pub").read_bytes() == public_bytes(key.public_key())
    assert len(public_bytes(key.public_key())) == 32


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "agent.key", pem(Ed25519PrivateKey.generate()), mode)

    with pytest.raises(KeyUnusable, match=f"mode {mode:o}\\), expected 600") as caught:
        load_key(path)
    assert f"chmod 600 {path}" in caught.value.hint


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "agent.key", pem(ec.generate_private_key(ec.SECP256R1())))

    with pytest.raises(KeyUnusable, match=r"holds a \w+, expected Ed25519"):
        load_key(path)


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "agent.key", content)

    with pytest.raises(KeyUnusable, match="holds no PEM private key"):
        load_or_create_key(path)
    assert path.read_bytes() == content


def test_a_key_behind_a_password_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "agent.key", pem(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"secret")))

    with pytest.raises(KeyUnusable):
        load_key(path)


def test_a_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "seal.secret"
    made = load_or_create_secret(path)

    assert load_or_create_secret(path) == made
    assert len(made) == 32
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "seal.secret", b"s" * 32, 0o644)

    with pytest.raises(KeyUnusable, match="expected 600"):
        load_or_create_secret(path)


def test_a_secret_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "seal.secret", b"")

    with pytest.raises(KeyUnusable, match="holds 0 bytes, expected 32"):
        load_or_create_secret(path)
