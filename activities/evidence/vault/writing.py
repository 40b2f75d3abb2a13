"""Writing a file once: whole and synced under its name, or not there at all.

Owns drafts and their becoming a name by link(2), which never replaces. A draft is locked while its writer
lives, so that a later start can tell an abandoned one. Knows no case.

    with drafts.begin() as draft:
        draft.write(chunks)
        place(draft.path, folder / "ring-01.pcapng")
"""

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from activities.evidence.errors import VaultUnavailable

CHUNK_BYTES = 1 << 20
# What becomes of the bytes on their way to the disk.
Sealing = Callable[[Iterable[bytes]], Iterable[bytes]]


class Draft:
    """A file that is not yet anything. `sha256` and `size` are of what came, `checksum` of what was written."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self._file = path, file
        self.sha256 = self.checksum = hashlib.sha256().hexdigest()
        self.size = 0

    def write(self, chunks: Iterable[bytes], sealing: Sealing | None = None) -> None:
        """Write and sync everything; digests and size are known afterwards."""
        came, written = hashlib.sha256(), hashlib.sha256()

        def counted() -> Iterator[bytes]:
            for chunk in chunks:
                came.update(chunk)
                self.size += len(chunk)
                yield chunk

        for chunk in sealing(counted()) if sealing else counted():
            if sealing:
                written.update(chunk)
            self._file.write(chunk)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.sha256 = came.hexdigest()
        self.checksum = written.hexdigest() if sealing else self.sha256


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
        with disk_trouble(self._folder.parent):
            path, handle = self._create()
            try:
                # Buffered: a raw write may take less than it is given, and a full disk makes it do so.
                with os.fdopen(handle, "wb") as file:
                    yield Draft(path, file)
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


@contextmanager
def disk_trouble(folder: Path, *expected: type[OSError]) -> Iterator[None]:
    """Whatever the operating system refuses in here is a vault that can't be written, but for what is expected."""
    try:
        yield
    except OSError as error:
        if isinstance(error, expected):
            raise
        why = os.strerror(error.errno or errno.EIO)
        raise VaultUnavailable(
            f"The vault at {folder} can't be written: {why}.",
            hint="Make room or repair the disk; the upload is tried again.",
        ) from error


def place(source: Path, target: Path) -> bool:
    """Give a synced file a name, durably; false: the name is taken, and stays what it was."""
    try:
        os.link(source, target)
    except FileExistsError:
        placed = False
    else:
        placed = True
    sync_folder(target.parent)
    return placed


def make_folder(folder: Path) -> None:
    """A folder that survives a crash, with all those above it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    sync_folder(folder.parent)


def file_chunks(path: Path) -> Iterator[bytes]:
    """A file's bytes, a mebibyte at a time."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_file(path: Path) -> None:
    """Make a file's bytes durable."""
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable (fsync(2): a file's own sync does not cover its name)."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
