"""How the bytes of an artefact are kept encrypted, and read again from anywhere in them.

Owns the framing: a header in the clear, then AES-256-GCM over segments of one mebibyte in the STREAM construction
(Hoang, Reyhanitabar, Rogaway, Vizar 2015): the nonce holds a random prefix, the segment's number and whether it is
the last, so that cutting off, reordering, repeating and swapping segments between files are noticed. Every segment
is bound to the header. Holds no key longer than a read: `keys` wraps and unwraps them. Why not a library's format:
docs/adr/0011.

    stored = seal(chunks, keys, sha256=digest)              # -> bytes to store
    SealedBytes(fetch, stored_size, keys).read(start, length)   # -> bytes as collected
"""

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256 as sha256_hash
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import Field, ValidationError

from activities.contracts.evidence import Sha256
from activities.evidence.errors import VaultMismatch
from activities.evidence.vault.keys import Keys, WrappedKey
from playbooks.canonical import canonical
from segmentation.workloads import Frozen

MAGIC = b"firebreak-sealed-1\n"
SEGMENT_BYTES = 1 << 20
TAG_BYTES = 16
_KEY_BYTES, _PREFIX_BYTES = 32, 7
_LENGTH = struct.Struct(">I")
_NONCE = struct.Struct(">7sIB")
_MAX_HEADER_BYTES = 16 << 10
# As many segments as one fetch brings: few round trips to a bucket, little memory.
_SEGMENTS_AT_ONCE = 8
# `length` stored bytes from `start`.
Fetch = Callable[[int, int], bytes]


class Header(Frozen):
    """What stands before the segments, in the clear; every segment is bound to it."""

    scheme: Literal["AES-256-GCM-STREAM"] = "AES-256-GCM-STREAM"
    segment_bytes: int = Field(default=SEGMENT_BYTES, ge=1, le=64 << 20)
    nonce_prefix: str = Field(pattern=r"^[0-9a-f]{14}$")
    sha256: Sha256 = Field(description="Of the bytes as collected.")
    key: WrappedKey


def seal(chunks: Iterable[bytes], keys: Keys, *, sha256: str) -> Iterator[bytes]:
    """The bytes to store; `sha256` is what the chunks were announced with, and the caller checks it."""
    data_key, prefix = os.urandom(_KEY_BYTES), os.urandom(_PREFIX_BYTES)
    header = canonical(Header(nonce_prefix=prefix.hex(), sha256=sha256, key=keys.wrap(data_key, sha256)))
    yield MAGIC + _LENGTH.pack(len(header)) + header
    cipher, bound = AESGCM(data_key), sha256_hash(header).digest()
    for number, (segment, last) in enumerate(_segments(chunks)):
        yield cipher.encrypt(_NONCE.pack(prefix, number, last), segment, bound)


class SealedBytes:
    """Reads what `seal` made, from anywhere in it."""

    def __init__(self, fetch: Fetch, stored_size: int, keys: Keys | None) -> None:
        self._fetch, self._stored_size, self._keys = fetch, stored_size, keys
        raw = self._raw_header()
        self._bound = sha256_hash(raw).digest()
        self._begin = len(MAGIC) + _LENGTH.size + len(raw)
        try:
            self.header = Header.model_validate_json(raw)
        except ValidationError as error:
            raise _broken(f"its header says nothing known: {error.errors()[0]['msg']}") from error
        self._stride = self.header.segment_bytes + TAG_BYTES
        self._count, over = divmod(stored_size - self._begin, self._stride)
        self._count += bool(over)
        if not self._count or 0 < over < TAG_BYTES:
            raise _broken("it ends inside a segment")

    @property
    def size(self) -> int:
        """Bytes as collected; a reader finds out whether that is true."""
        return self._stored_size - self._begin - self._count * TAG_BYTES

    @property
    def encryption(self) -> str:
        """Scheme and key id, as a manifest names them."""
        return f"{self.header.scheme} {self.header.key.key_id}"

    def proven_digest(self) -> str:
        """Of the bytes as collected, by the header, for which the last segment vouches; raises as `read`."""
        self._open(self._cipher(), self._count - 1, self._stored(self._count - 1, 1))
        return self.header.sha256

    def read(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Bytes as collected. That the end is the end is checked first, whatever part is asked for.

        Raises:
            VaultKeyRefused: our key is not the one it was encrypted with.
            VaultMismatch: it is not what was stored.
        """
        end = self.size if length is None else min(start + length, self.size)
        cipher = self._cipher()
        self._open(cipher, self._count - 1, self._stored(self._count - 1, 1))
        return self._span(cipher, start, end)

    def _span(self, cipher: AESGCM, start: int, end: int) -> Iterator[bytes]:
        size = self.header.segment_bytes
        number, behind = start // size, -(-end // size)
        while start < end and number < behind:
            several = min(_SEGMENTS_AT_ONCE, behind - number)
            stored = memoryview(self._stored(number, several))
            for place in range(several):
                plain = self._open(cipher, number, stored[place * self._stride : (place + 1) * self._stride])
                yield plain[max(start - number * size, 0) : end - number * size]
                number += 1

    def _stored(self, number: int, several: int) -> bytes:
        begin = self._begin + number * self._stride
        return self._fetch(begin, min(several * self._stride, self._stored_size - begin))

    def _open(self, cipher: AESGCM, number: int, stored: bytes | memoryview) -> bytes:
        prefix, last = bytes.fromhex(self.header.nonce_prefix), number == self._count - 1
        try:
            return cipher.decrypt(_NONCE.pack(prefix, number, last), bytes(stored), self._bound)
        except InvalidTag as error:
            raise _broken(f"segment {number + 1} of {self._count} is not what was stored") from error

    def _cipher(self) -> AESGCM:
        if self._keys is None:
            raise _broken(f"it is encrypted with {self.header.key.key_id}, and no key was given")
        return AESGCM(self._keys.unwrap(self.header.key, self.header.sha256))

    def _raw_header(self) -> bytes:
        lead = len(MAGIC) + _LENGTH.size
        begin = self._fetch(0, lead) if self._stored_size > lead else b""
        if not begin.startswith(MAGIC):
            raise _broken("it does not begin as an encrypted one does")
        (length,) = _LENGTH.unpack(begin[len(MAGIC) :])
        if not 0 < length <= min(_MAX_HEADER_BYTES, self._stored_size - lead):
            raise _broken("its header has no possible length")
        return self._fetch(lead, length)


def _segments(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Segments of full size but the last one; there is always a last one."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        if len(held) > SEGMENT_BYTES:
            full = (len(held) - 1) // SEGMENT_BYTES * SEGMENT_BYTES
            view = bytes(held[:full])
            del held[:full]
            for begin in range(0, full, SEGMENT_BYTES):
                yield view[begin : begin + SEGMENT_BYTES], False
    yield bytes(held), True


def _broken(why: str) -> VaultMismatch:
    return VaultMismatch(f"The encrypted artefact can't be read: {why}.", hint="It was altered, or the key is missing.")
