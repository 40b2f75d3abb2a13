"""One upload on its way into the vault: a file that grows part by part, and the digest of what is in it.

Owns that file while it is open, and which bytes of it count: those of parts whose running digest was right. A newer
request takes over from an older one, which then can't write any more: a connection that hangs holds nobody up.
After a restart the digest is computed again from the file.

    spool = Spool.open(path)
    part = spool.begin(offset)
    part.write(chunks); part.finish(running_digest)
"""

import fcntl
import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from activities.evidence.errors import UploadElsewhere, UploadTooLarge, VaultMismatch, VaultUnavailable
from activities.evidence.vault.writing import CHUNK_BYTES


class Spool:
    """The file of one upload; safe for threads."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path, self.handle = path, handle
        self.lock = threading.Lock()
        self.turn = 0
        self._known: tuple[hashlib._Hash, int] | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """The file as it is, or an empty one.

        Raises:
            VaultUnavailable: another process has it.
        """
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return cls(path, handle)
        except BlockingIOError as error:
            os.close(handle)
            raise VaultUnavailable("Another process receives this artefact.", hint="Try again later.") from error
        except BaseException:
            os.close(handle)
            raise

    def begin(self, offset: int, size: int) -> "Part":
        """A part from `offset`, of an artefact of no more than `size` bytes; from 0 it begins anew.

        Raises:
            UploadElsewhere: that is not where the file ends.
        """
        with self.lock:
            if offset == 0:
                self._known = (hashlib.sha256(), 0)
            digest, known = self._read()
            if offset != known:
                raise UploadElsewhere(
                    f"The part begins at {offset}, expected {known}.", offset=known, hint="Go on from there."
                )
            self.turn += 1
            os.ftruncate(self.handle, known)
            return Part(self, self.turn, size, digest.copy(), known)

    @property
    def offset(self) -> int:
        """How much of the file counts."""
        with self.lock:
            return self._read()[1]

    def keep(self, digest: "hashlib._Hash", offset: int) -> None:
        """So much counts now; the caller holds the lock."""
        self._known = (digest, offset)

    def _read(self) -> "tuple[hashlib._Hash, int]":
        """After a restart everything in the file counts, until the next running digest says otherwise."""
        if self._known is None:
            self._known = _digest_of(self.handle)
        return self._known

    def close(self) -> None:
        """Let go of the file; whoever still writes is refused."""
        with self.lock:
            self.turn += 1
            os.close(self.handle)


class Part:
    """The bytes of one request, as long as no newer one came."""

    def __init__(self, spool: Spool, turn: int, size: int, digest: "hashlib._Hash", begin: int) -> None:
        self._spool, self._turn, self._size = spool, turn, size
        self._digest, self.begin, self.end = digest, begin, begin

    def write(self, chunks: Sequence[bytes]) -> None:
        """Append.

        Raises:
            UploadTooLarge: more than was announced, or than is taken.
            VaultUnavailable: a newer request took over.
            OSError: the disk is full or broken.
        """
        with self._spool.lock:
            self._check_turn()
            length = sum(map(len, chunks))
            if self.end + length > self._size:
                raise UploadTooLarge(
                    f"{self.end + length} bytes came, expected {self._size} at most.", hint="Announce what you send."
                )
            for chunk in chunks:
                self._digest.update(chunk)
            _write(self._spool.handle, chunks, self.end)
            self.end += length

    def finish(self, sha256: str) -> None:
        """The part counts from now on; `sha256` is of everything up to its end.

        Raises:
            VaultMismatch: it is not; nothing of the part is kept.
        """
        with self._spool.lock:
            self._check_turn()
            found = self._digest.hexdigest()
            if found != sha256:
                os.ftruncate(self._spool.handle, self.begin)
                raise VaultMismatch(
                    f"{self.end} bytes came with sha256 {found}, expected {sha256}.", hint="Send the part again."
                )
            self._spool.keep(self._digest, self.end)

    def _check_turn(self) -> None:
        if self._turn != self._spool.turn:
            raise VaultUnavailable("A newer request goes on with this upload.", hint="One at a time.")


def _digest_of(handle: int) -> "tuple[hashlib._Hash, int]":
    digest, offset = hashlib.sha256(), 0
    while chunk := os.pread(handle, CHUNK_BYTES, offset):
        digest.update(chunk)
        offset += len(chunk)
    return digest, offset


def _write(handle: int, chunks: Sequence[bytes], offset: int) -> None:
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            written = os.pwrite(handle, view, offset)
            view, offset = view[written:], offset + written
