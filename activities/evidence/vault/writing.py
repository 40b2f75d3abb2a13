"""Writing a file once: whole and synced under its name, or not there at all.

Owns drafts and their becoming a name by link(2), which never replaces. A draft is locked while its writer
lives, so that a later start can tell an abandoned one. Knows no case.

    with drafts.begin() as draft:
        draft.write(chunks)
        draft.place(folder / "ring-01.pcapng")
"""

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from activities.evidence.errors import VaultConflict, VaultUnavailable

CHUNK_BYTES = 1 << 20


class Draft:
    """A file that is not yet anything."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self.sha256 = hashlib.sha256().hexdigest()
        self.size = 0

    def write(self, chunks: Iterable[bytes]) -> None:
        """Write and sync everything; digest and size are known afterwards."""
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
            self.size += len(chunk)
            self._file.write(chunk)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.sha256 = digest.hexdigest()

    def place(self, target: Path) -> None:
        """Give the file its name. The same bytes under that name already are no change.

        Raises:
            VaultConflict: the name is taken by other bytes.
        """
        try:
            os.link(self._path, target)
        except FileExistsError as error:
            found = sha256_of(target)
            if found != self.sha256:
                raise VaultConflict(
                    f"{target.name} is kept with sha256 {found} and came again with {self.sha256}.",
                    hint="Nothing is ever overwritten: give the new bytes an id of their own.",
                ) from error
        sync_folder(target.parent)


class Drafts:
    """The drafts of one vault; safe for threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextmanager
    def begin(self) -> Iterator[Draft]:
        """A new draft; gone afterwards, placed or not.

        Raises:
            VaultUnavailable: the disk is full or broken.
        """
        path, handle = self._create()
        try:
            # Buffered: a raw write may take less than it is given, and a full disk makes it do so.
            with os.fdopen(handle, "wb") as file:
                yield Draft(path, file)
        except OSError as error:
            why = os.strerror(error.errno or errno.EIO)
            raise VaultUnavailable(
                f"The vault at {self._folder.parent} can't be written: {why}.",
                hint="Make room or repair the disk; the upload is tried again.",
            ) from error
        finally:
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove drafts whose writers are gone; a living writer, of any process, holds its lock."""
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()

    def _create(self) -> tuple[Path, int]:
        while True:
            path = self._folder / uuid4().hex
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:
                return path, handle
            os.close(handle)  # a sweep came between creating and locking


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable (fsync(2): a file's own sync does not cover its name)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
