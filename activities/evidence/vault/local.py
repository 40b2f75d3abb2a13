"""The evidence vault as a directory: what is written once is never written again.

Owns `root/case/<case>/`: artefacts as they arrive (or encrypted), manifests, custody events and documents, the head
that says how long the chains are, and the vault's own word about each artefact (`records`). The same bytes are on
the disk once (`blobs`). Never deletes and never overwrites; the head alone is replaced. A crash never leaves a half
item that looks whole: bytes become an item after they were synced, by one link(2).

    vault = LocalVault(root)
    vault.put_stream("inc-1", "web.ring-01", "ring-01.pcapng", chunks, sha256=digest)   # -> Storage
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

from activities.contracts.evidence import Retention, Storage
from activities.evidence.errors import VaultConflict, VaultMismatch
from activities.evidence.vault.blobs import Blobs
from activities.evidence.vault.directory import DirectoryCase
from activities.evidence.vault.interface import Kept
from activities.evidence.vault.keys import Keys
from activities.evidence.vault.layout import (
    FOLDERS,
    HEAD_FILE,
    Folder,
    Head,
    artefact_name,
    case_folder,
    document_file_name,
)
from activities.evidence.vault.records import StorageRecords, later
from activities.evidence.vault.sealed_bytes import seal
from activities.evidence.vault.shelf import Shelf, file_lock
from activities.evidence.vault.writing import (
    Draft,
    Drafts,
    disk_trouble,
    file_chunks,
    make_folder,
    place,
    sha256_of,
    sync_file,
    sync_folder,
)
from playbooks.canonical import canonical


class LocalVault:
    """A write-once directory; safe for threads and for several processes on one machine."""

    def __init__(self, root: Path, keys: Keys | None = None) -> None:
        self.root, self._keys = root.resolve(), keys
        make_folder(self.root / "case")
        self._blobs = Blobs(self.root / "blobs")
        self._drafts = Drafts(self.root / "incoming")
        self._drafts.sweep()

    @property
    def uri(self) -> str:
        """The directory."""
        return self.root.as_uri()

    def put_stream(
        self,
        case_id: str,
        evidence_id: str,
        name: str,
        chunks: Iterable[bytes],
        *,
        sha256: str,
        size: int | None = None,
    ) -> Storage:
        """Keep one artefact. The same bytes again are no change.

        Raises:
            VaultMismatch: the bytes are not what was announced; nothing is kept.
            VaultConflict: the id is taken by other bytes or another name.
            VaultUnavailable: the disk is full or broken; nothing is kept.
            VaultRefused: a name that is no name.
        """
        artefact_name(evidence_id, name)  # refused before the bytes are read
        shelf = self._shelf(case_id)
        with self._drafts.begin() as draft:
            draft.write(chunks, partial(seal, keys=self._keys, sha256=sha256) if self._keys else None)
            check_announced(evidence_id, draft, sha256=sha256, size=size)
            with shelf.locked():
                return shelf.place(evidence_id, name, draft.path, sha256=sha256, checksum=draft.checksum)

    def put_file(self, case_id: str, evidence_id: str, name: str, path: Path, *, sha256: str) -> Storage:
        """The same from a file whose digest the caller has computed.

        On the vault's own file system the file itself becomes the artefact, by a further name: nobody may write it any
        more. Raises as `put_stream`.
        """
        artefact_name(evidence_id, name)
        shelf = self._shelf(case_id)
        with disk_trouble(self.root):
            if self._keys is not None or path.stat().st_dev != self.root.stat().st_dev:
                return self.put_stream(case_id, evidence_id, name, file_chunks(path), sha256=sha256)
            path.chmod(0o400)
            sync_file(path)
            with shelf.locked():
                return shelf.place(evidence_id, name, path, sha256=sha256, checksum=sha256)

    def put_document(self, case_id: str, folder: Folder, name: str, content: bytes) -> str:
        """Keep a manifest, a custody event, a seal or a report; its URI.

        Raises:
            VaultConflict: other bytes are kept under that name.
            VaultRefused: a name that is no name.
            VaultUnavailable: the disk is full or broken; nothing is kept.
        """
        target = case_folder(self.root, case_id) / folder / document_file_name(name)
        with disk_trouble(self.root):
            self._make_case(case_id)
        with self._drafts.begin() as draft:
            draft.write([content])
            if not place(draft.path, target) and (found := sha256_of(target)) != draft.sha256:
                raise VaultConflict(
                    f"{folder}/{name} is kept with sha256 {found} and came again with {draft.sha256}.",
                    hint="Nothing is ever overwritten.",
                )
        return target.as_uri()

    def put_head(self, head: Head) -> None:
        """Replace the head as a whole. The caller holds the case's lock."""
        folder = case_folder(self.root, head.case_id)
        draft = folder / f".head-{uuid4().hex}"
        with disk_trouble(self.root):
            self._make_case(head.case_id)
            try:
                with draft.open("xb") as file:
                    file.write(canonical(head))
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(folder / HEAD_FILE)
            finally:
                draft.unlink(missing_ok=True)
            sync_folder(folder)

    @contextmanager
    def locked(self, case_id: str) -> Iterator[None]:
        """Order the writers of one case's chains, across processes."""
        folder = case_folder(self.root, case_id)
        with disk_trouble(self.root):
            self._make_case(case_id)
        with file_lock(folder / ".chains.lock"):
            yield

    def case(self, case_id: str) -> DirectoryCase:
        """What the vault holds of a case; an unknown case is empty."""
        return DirectoryCase(case_folder(self.root, case_id), self._keys)

    def find(self, case_id: str, evidence_id: str) -> Kept:
        """One artefact; raises VaultMissing."""
        return self.case(case_id).find(evidence_id)

    def digest(self, case_id: str, evidence_id: str) -> str:
        """Of an artefact's bytes as collected, as noted when they were taken; raises VaultMissing."""
        with disk_trouble(self.root):
            return self._shelf(case_id).digest(evidence_id)

    def retain(self, case_id: str, evidence_id: str, retention: Retention) -> Storage:
        """Record until when it is to be kept, where that is later than what stands. A directory enforces nothing."""
        with self._changing(case_id, evidence_id) as shelf:
            return shelf.change(evidence_id, later(shelf.storage(evidence_id), retention))

    def hold(self, case_id: str, evidence_id: str, *, on: bool) -> Storage:
        """Record a legal hold, or its end."""
        with self._changing(case_id, evidence_id) as shelf:
            return shelf.change(evidence_id, {"legal_hold": on})

    def retain_case(self, case_id: str, retention: Retention) -> None:
        """Record until when its documents and head are to be kept, where that is later than what stands."""
        with self._changing_case(case_id) as records:
            records.change_case(later(records.case(), retention))

    def hold_case(self, case_id: str, *, on: bool) -> None:
        """Record a legal hold on its documents and head, or its end."""
        with self._changing_case(case_id) as records:
            records.change_case({"legal_hold": on})

    @contextmanager
    def _changing_case(self, case_id: str) -> Iterator[StorageRecords]:
        shelf = self._shelf(case_id)
        with disk_trouble(self.root), shelf.locked():
            yield shelf.records

    @contextmanager
    def _changing(self, case_id: str, evidence_id: str) -> Iterator[Shelf]:
        self.find(case_id, evidence_id)  # before a folder is made for a case that nobody knows
        shelf = self._shelf(case_id)
        with disk_trouble(self.root), shelf.locked():
            yield shelf

    def _shelf(self, case_id: str) -> Shelf:
        return Shelf(case_folder(self.root, case_id), self._drafts, self._blobs, self._keys)

    def _make_case(self, case_id: str) -> None:
        for folder in FOLDERS:
            make_folder(case_folder(self.root, case_id) / folder)


def check_announced(evidence_id: str, draft: Draft, *, sha256: str, size: int | None) -> None:
    """Refuse bytes that are not what was said of them; raises VaultMismatch."""
    if size is not None and draft.size != size:
        raise VaultMismatch(
            f"{evidence_id} came with {draft.size} bytes, expected {size}.", hint="Send it again as a whole."
        )
    if draft.sha256 != sha256:
        raise VaultMismatch(
            f"{evidence_id} came with sha256 {draft.sha256}, expected {sha256}.",
            hint="Send it again as a whole.",
        )
