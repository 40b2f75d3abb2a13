"""Encrypted artefacts: read from anywhere, and nothing can be done to them that is not noticed."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.evidence.errors import VaultKeyRefused, VaultMismatch, VaultUnavailable
from activities.evidence.vault.keys import FileKeys, Keys
from activities.evidence.vault.kms import KmsKeys
from activities.evidence.vault.sealed_bytes import SEGMENT_BYTES, TAG_BYTES, SealedBytes, seal
from lab.aws_server import AwsServer

KEYS = FileKeys(bytes(range(32)))
CONTENT = os.urandom(SEGMENT_BYTES * 3 + 1000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
STORED = b"".join(seal([CONTENT], KEYS, sha256=DIGEST))
STRIDE = SEGMENT_BYTES + TAG_BYTES
BEGIN = len(STORED) - len(CONTENT) - 4 * TAG_BYTES


def opened(stored: bytes, keys: Keys | None = KEYS) -> SealedBytes:
    return SealedBytes(lambda start, length: stored[start : start + length], len(stored), keys)


@pytest.mark.parametrize("size", [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES])
def test_what_was_sealed_is_read_again(size: int) -> None:
    content = CONTENT[:size]
    stored = b"".join(seal([content[:7], content[7:]], KEYS, sha256=DIGEST))
    sealed = opened(stored)
    assert sealed.size == size
    assert b"".join(sealed.read()) == content


@settings(max_examples=40)
@given(start=st.integers(0, len(CONTENT) + 10), length=st.integers(0, SEGMENT_BYTES * 2))
def test_any_range_is_what_it_would_be_of_the_plain_bytes(start: int, length: int) -> None:
    assert b"".join(opened(STORED).read(start, length)) == CONTENT[start : start + length]


def test_range_fetches_its_own_segment_and_the_last_one() -> None:
    fetched: list[tuple[int, int]] = []

    def fetch(start: int, length: int) -> bytes:
        fetched.append((start, length))
        return STORED[start : start + length]

    sealed = SealedBytes(fetch, len(STORED), KEYS)
    fetched.clear()
    assert b"".join(sealed.read(SEGMENT_BYTES + 5, 10)) == CONTENT[SEGMENT_BYTES + 5 : SEGMENT_BYTES + 15]
    assert fetched == [(BEGIN + 3 * STRIDE, 1000 + TAG_BYTES), (BEGIN + STRIDE, STRIDE)]


def without_second(stored: bytes) -> bytes:
    return stored[: BEGIN + STRIDE] + stored[BEGIN + 2 * STRIDE :]


def swapped(stored: bytes) -> bytes:
    first, second = stored[BEGIN : BEGIN + STRIDE], stored[BEGIN + STRIDE : BEGIN + 2 * STRIDE]
    return stored[:BEGIN] + second + first + stored[BEGIN + 2 * STRIDE :]


@pytest.mark.parametrize(
    "harm",
    [
        lambda stored: stored[:-1],
        lambda stored: stored[: BEGIN + 3 * STRIDE],
        lambda stored: stored[: BEGIN + STRIDE + 5],
        lambda stored: stored[:BEGIN],
        lambda stored: stored[:30],
        lambda _: b"",
        lambda stored: stored + b"x",
        lambda stored: stored + stored[-STRIDE:],
        without_second,
        swapped,
        lambda stored: b"firebreak-sealed-2\n" + stored[19:],
    ],
)
def test_cutting_reordering_and_adding_are_noticed(harm: Callable[[bytes], bytes]) -> None:
    with pytest.raises((VaultMismatch, VaultKeyRefused)):
        b"".join(opened(harm(STORED)).read())


def test_cutting_off_the_end_is_noticed_where_only_the_beginning_is_read() -> None:
    with pytest.raises(VaultMismatch):
        b"".join(opened(STORED[: BEGIN + 3 * STRIDE]).read(0, 10))


@settings(max_examples=40)
@given(at=st.integers(0, len(STORED) - 1), bit=st.integers(0, 7))
def test_any_bit_that_flips_is_noticed(at: int, bit: int) -> None:
    harmed = bytearray(STORED)
    harmed[at] ^= 1 << bit
    with pytest.raises((VaultMismatch, VaultKeyRefused)):
        b"".join(opened(bytes(harmed)).read())


def test_segments_of_another_artefact_do_not_fit() -> None:
    other = b"".join(seal([CONTENT], KEYS, sha256=DIGEST))
    mixed = STORED[: BEGIN + STRIDE] + other[BEGIN + STRIDE :]
    with pytest.raises(VaultMismatch):
        b"".join(opened(mixed).read())


@pytest.mark.parametrize("keys", [None, FileKeys(bytes(32))])
def test_wrong_key_and_no_key_say_so(keys: Keys | None) -> None:
    with pytest.raises((VaultKeyRefused, VaultMismatch), match="key"):
        b"".join(opened(STORED, keys).read())


@pytest.mark.parametrize(
    ("mode", "content", "reason"),
    [
        (0o640, bytes(32), "mode 0640"),
        (0o604, bytes(32), "mode 0604"),
        (0o600, bytes(31), "31 bytes"),
        (0o600, bytes(33), "more than 32"),
        (0o600, None, "No such file"),
    ],
)
def test_key_file_that_is_no_key_is_refused(tmp_path: Path, mode: int, content: bytes | None, reason: str) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(VaultKeyRefused, match=reason):
        FileKeys.read(path)


@pytest.fixture
def kms(aws: AwsServer) -> KmsKeys:
    client = boto3.client("kms", endpoint_url=aws.url)
    return KmsKeys(client, client.create_key()["KeyMetadata"]["KeyId"])


def test_key_of_kms_opens_what_it_sealed_and_only_for_that_artefact(kms: KmsKeys) -> None:
    stored = b"".join(seal([b"small"], kms, sha256=DIGEST))
    assert b"".join(opened(stored, kms).read()) == b"small"
    wrapped = kms.wrap(bytes(32), DIGEST)
    with pytest.raises(VaultKeyRefused, match="does not open"):
        kms.unwrap(wrapped, "0" * 64)


def test_key_of_kms_that_is_not_there_or_does_not_answer_says_so(kms: KmsKeys) -> None:
    with pytest.raises(VaultKeyRefused, match="NotFound"):
        KmsKeys(kms._client, "alias/nobodys").wrap(bytes(32), DIGEST)
    away = KmsKeys(boto3.client("kms", endpoint_url="http://127.0.0.1:9"), "k")
    with pytest.raises(VaultUnavailable, match="did not answer"):
        away.wrap(bytes(32), DIGEST)
