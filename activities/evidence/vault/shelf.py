"""The artefacts of one case in a directory: placing them once, and what the vault says of each.

Owns `artefacts/` and `storage/` of a case while it holds their lock. Never reads a caller's bytes; what it is given is
synced already.

    with shelf.locked():
        storage = shelf.place(evidence_id, name, draft.path, sha256=digest, checksum=draft.checksum)
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from activities.contracts.evidence import Storage
from activities.evidence.errors import VaultConflict, VaultKeyRefused, VaultMismatch, VaultMissing
from activities.evidence.vault.blobs import Blobs
from activities.evidence.vault.directory import DirectoryCase, sealed_file
from activities.evidence.vault.keys import Keys
from activities.evidence.vault.layout import ENCRYPTED, artefact_name
from activities.evidence.vault.records import StorageRecords
from activities.evidence.vault.writing import Drafts, make_folder, place, sha256_of


class Shelf:
    """One case's artefacts, for writing; safe for threads and processes while locked."""

    def __init__(self, folder: Path, drafts: Drafts, blobs: Blobs, keys: Keys | None) -> None:
        self._folder, self._blobs, self._keys = folder / "artefacts", blobs, keys
        self._case = DirectoryCase(folder, keys)
        self._lock_file = folder / ".artefacts.lock"
        self.records = StorageRecords(folder, drafts)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Order the writers of this case, across processes."""
        make_folder(self._folder)
        with file_lock(self._lock_file):
            yield

    def place(self, evidence_id: str, name: str, source: Path, *, sha256: str, checksum: str) -> Storage:
        """Give a synced file its place in the case; `checksum` is its digest as it is, perhaps encrypted.

        Raises:
            VaultConflict: the id is taken by other bytes or another name.
        """
        file_name = artefact_name(evidence_id, name)
        kept = self._kept(evidence_id)
        if kept is not None:
            self._check_same(evidence_id, kept, file_name, sha256)
            return self.storage(evidence_id)
        shared = self._blobs.share(source, sha256 + self._ending, lambda path: self._is_intact(path, sha256))
        target = self._folder / (file_name + self._ending)
        place(shared, target)
        storage = self._describe(target, checksum if shared == source or _same(shared, source) else sha256_of(shared))
        self.records.write(evidence_id, storage)
        return storage

    def storage(self, evidence_id: str) -> Storage:
        """How an artefact is kept, as recorded, or as it is found after a crash before the record.

        Raises:
            VaultMissing: there is none.
        """
        path = self._case.path(evidence_id)
        return self.records.latest(evidence_id) or self._describe(path, sha256_of(path))

    def digest(self, evidence_id: str) -> str:
        """Of the bytes as collected, without reading them all; raises VaultMissing."""
        path = self._case.path(evidence_id)
        if not path.name.endswith(ENCRYPTED):
            return self.storage(evidence_id).checksum
        with path.open("rb") as file:
            return sealed_file(file, self._keys).proven_digest()

    def change(self, evidence_id: str, change: dict[str, object]) -> Storage:
        """Record a change of how it is kept; none is none."""
        before = self.storage(evidence_id)
        after = before.model_copy(update=change)
        if after != before:
            self.records.write(evidence_id, after)
        return after

    @property
    def _ending(self) -> str:
        return ENCRYPTED if self._keys else ""

    def _kept(self, evidence_id: str) -> Path | None:
        try:
            return self._case.path(evidence_id)
        except VaultMissing:
            return None

    def _check_same(self, evidence_id: str, kept: Path, file_name: str, sha256: str) -> None:
        known_as = kept.name.removesuffix(ENCRYPTED)
        if known_as != file_name:
            raise VaultConflict(
                f"{evidence_id} is kept as {known_as} and came again as {file_name}.",
                hint="An artefact has one name: give the new one an id of its own.",
            )
        found = hashlib.sha256()
        for chunk in self._case.read(evidence_id):
            found.update(chunk)
        if found.hexdigest() != sha256:
            raise VaultConflict(
                f"{known_as} is kept with sha256 {found.hexdigest()} and came again with {sha256}.",
                hint="Nothing is ever overwritten: give the new bytes an id of their own.",
            )

    def _is_intact(self, path: Path, sha256: str) -> bool:
        """Whether a blob still holds what its name says, for the key of today."""
        if self._keys is None:
            return sha256_of(path) == sha256
        found = hashlib.sha256()
        try:
            with path.open("rb") as file:
                for chunk in sealed_file(file, self._keys).read():
                    found.update(chunk)
        except (VaultMismatch, VaultKeyRefused):
            return False
        return found.hexdigest() == sha256

    def _describe(self, path: Path, checksum: str) -> Storage:
        if not path.name.endswith(ENCRYPTED):
            return Storage(uri=path.as_uri(), checksum=checksum)
        with path.open("rb") as file:
            return Storage(uri=path.as_uri(), checksum=checksum, encryption=sealed_file(file, self._keys).encryption)


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """One holder at a time, of all threads and processes of this machine."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _same(one: Path, other: Path) -> bool:
    return os.path.samestat(one.lstat(), other.lstat())
