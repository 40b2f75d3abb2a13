"""One upload on its way into the vault: a file that grows part by part, and the digest of what is in it.

Owns that file while it is open, and which bytes of it count: those of parts whose running digest was right. A newer
request takes over from an older one, which then can't write any more: a connection that hangs holds nobody up.
What the vault is at can't be written at all, and a file that is an artefact by a further name never is.
After a restart the digest is computed again from the file.

    spool = Spool.open(path)
    part = spool.begin(offset, size)
    part.write(chunks); part.finish(running_digest)
    part.freeze()
"""

import contextlib
import fcntl
import hashlib
import os
import stat
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from activities.evidence.errors import UploadElsewhere, UploadTooLarge, VaultMismatch, VaultUnavailable
from activities.evidence.vault.writing import CHUNK_BYTES

# So much is handed to the disk at once, while more comes: a sync at the end that had it all to write is time lost.
WRITEBACK_BYTES = 16 << 20


class Spool:
    """The file of one upload; safe for threads."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path, self.handle = path, handle
        self.lock = threading.Lock()
        self.turn = 0
        self._known: tuple[hashlib._Hash, int] | None = None
        self._frozen = self._closed = False

    @classmethod
    def open(cls, path: Path, *, create: bool = True) -> Self:
        """The file as it is, or an empty one.

        Raises:
            FileNotFoundError: there is none, and none is to be made.
            VaultUnavailable: another process has it.
        """
        with contextlib.suppress(FileNotFoundError):
            _make_writable(path)
        return cls(path, _locked(path, os.O_RDWR | (os.O_CREAT if create else 0)))

    def begin(self, offset: int, size: int) -> "Part":
        """A part from `offset`, of an artefact of no more than `size` bytes; from 0 it begins anew.

        Raises:
            UploadElsewhere: that is not where the file ends.
            VaultUnavailable: the vault is at it, or it was let go of.
        """
        with self.lock:
            self._check_open()
            if self._frozen:
                raise VaultUnavailable("This artefact is being kept.", hint="Ask again.")
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
            self._check_open()
            return self._read()[1]

    @property
    def is_read(self) -> bool:
        """Whether the digest of what is there is known, or would have to be computed first."""
        return self._known is not None

    def read(self) -> None:
        """Compute that digest while others do not wait; who begins anew meanwhile needs it no more."""
        with self.lock:
            self._check_open()
            handle = os.dup(self.handle)
        try:
            known = _digest_of(handle)
        finally:
            os.close(handle)
        with self.lock:
            self._known = self._known or known

    @property
    def is_shared(self) -> bool:
        """Whether the file has a further name, by which the vault has it."""
        return os.fstat(self.handle).st_nlink > 1

    def thaw(self) -> None:
        """It may be gone on with: the vault did not take it."""
        with self.lock:
            self._frozen = False

    def freeze(self) -> None:
        """Nothing is written any more, and no other process gets it; the caller holds the lock."""
        self._check_open()
        self.turn += 1
        self._frozen = True

    def keep(self, digest: "hashlib._Hash", offset: int) -> None:
        """So much counts now; the caller holds the lock."""
        self._known = (digest, offset)

    def _read(self) -> "tuple[hashlib._Hash, int]":
        """After a restart everything in the file counts, until the next running digest says otherwise."""
        if self._known is None:
            self._known = _digest_of(self.handle)
        return self._known

    def close(self) -> None:
        """Let go of the file; whoever still writes is refused. Again is no change: its number may be another's."""
        with self.lock:
            if not self._closed:
                self._closed = True
                self.turn += 1
                os.close(self.handle)

    def _check_open(self) -> None:
        if self._closed:
            raise VaultUnavailable("This upload was let go of.", hint="Ask again where it goes on.")


class Part:
    """The bytes of one request, as long as no newer one came."""

    def __init__(self, spool: Spool, turn: int, size: int, digest: "hashlib._Hash", begin: int) -> None:
        self._spool, self._turn, self._size = spool, turn, size
        self._digest, self.begin, self.end = digest, begin, begin
        self._handed_over = begin

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
            self._begin_writeback()

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

    def freeze(self) -> None:
        """Nothing is written any more to what this part completed, until the spool thaws.

        Raises:
            VaultUnavailable: a newer request took over.
        """
        with self._spool.lock:
            self._check_turn()
            self._spool.freeze()

    def _begin_writeback(self) -> None:
        """Hand to the disk what is complete. Pages on their way there stay in memory, whatever the advice is called.

        An error is left for the sync at the end to tell, as a sync in between would not.
        """
        length = self.end - self._handed_over
        if length >= WRITEBACK_BYTES:
            os.posix_fadvise(self._spool.handle, self._handed_over, length, os.POSIX_FADV_DONTNEED)
            self._handed_over = self.end

    def _check_turn(self) -> None:
        if self._turn != self._spool.turn:
            raise VaultUnavailable("A newer request goes on with this upload.", hint="One at a time.")


def _make_writable(path: Path) -> None:
    """After a crash while the vault took it, a file is read-only, and perhaps the artefact itself."""
    handle = _locked(path, os.O_RDONLY)
    try:
        found = os.fstat(handle)
        if found.st_nlink > 1:
            path.unlink()
        elif not found.st_mode & stat.S_IWUSR:
            os.fchmod(handle, 0o600)
    finally:
        os.close(handle)


def _locked(path: Path, flags: int) -> int:
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise VaultUnavailable("Another process receives this artefact.", hint="Try again later.") from error
    except BaseException:
        os.close(handle)
        raise
    return handle


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
