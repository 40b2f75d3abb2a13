"""What waits on our own disk for its way into a bucket.

Owns the folder: drafts of streams, encrypted copies that outlive a crash, so that an upload in parts goes on with
the same bytes, and the lock files of cases. What nobody came back for is swept after a week.

    with scratch.sealed(path, digest, keys) as sealed:
        send(sealed.path, sealed.checksum)
"""

import contextlib
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from activities.evidence.errors import VaultMismatch
from activities.evidence.vault.keys import Keys
from activities.evidence.vault.sealed_bytes import seal
from activities.evidence.vault.writing import Drafts, file_chunks, make_folder, place, sha256_of

KEEP_SECONDS = 7 * 86_400.0


@dataclass(frozen=True)
class Sealed:
    """An encrypted copy and its own digest."""

    path: Path
    checksum: str


class Scratch:
    """The folder of one vault; safe for threads and processes."""

    def __init__(self, folder: Path) -> None:
        self.locks, self._sealed = folder / "locks", folder / "sealed"
        for sub in (self.locks, self._sealed):
            make_folder(sub)
        self.drafts = Drafts(folder / "incoming")
        self.drafts.sweep()
        sweep(self._sealed, KEEP_SECONDS)

    @contextlib.contextmanager
    def sealed(self, path: Path, sha256: str, keys: Keys) -> Iterator[Sealed]:
        """The file encrypted, as it was before a crash if it was; gone once it got through.

        Raises:
            VaultMismatch: the file is not what was announced.
        """
        copy = self._sealed / hashlib.sha256(f"{keys.key_id}\n{sha256}".encode()).hexdigest()
        checksum = sha256_of(copy) if copy.exists() else self._seal(path, copy, sha256, keys)
        yield Sealed(copy, checksum)
        copy.unlink(missing_ok=True)

    def _seal(self, path: Path, copy: Path, sha256: str, keys: Keys) -> str:
        with self.drafts.begin() as draft:
            draft.write(file_chunks(path), partial(seal, keys=keys, sha256=sha256))
            if draft.sha256 != sha256:
                raise VaultMismatch(f"{path.name} came with sha256 {draft.sha256}, expected {sha256}.", hint="Again.")
            return draft.checksum if place(draft.path, copy) else sha256_of(copy)


def sweep(folder: Path, older_than_seconds: float) -> None:
    """Remove the files that nobody has written for so long."""
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > older_than_seconds:
                path.unlink()
