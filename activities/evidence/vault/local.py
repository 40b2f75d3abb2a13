"""The evidence vault as a directory: what is written once is never written again.

Owns `root/case/<case>/`: artefacts as they arrive, manifests, custody events and documents, and the head
that says how long the chains are. Never deletes and never overwrites; the head alone is replaced. A crash
never leaves a half item that looks whole: bytes become an item after they were synced, by one link(2).

    vault = LocalVault(root)
    vault.put_stream("inc-1", "web.ring-01", "ring-01.pcapng", chunks, sha256=digest)   # -> Storage
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from activities.contracts.evidence import Storage
from activities.evidence.errors import VaultConflict, VaultMismatch, VaultMissing, VaultRefused
from activities.evidence.vault.layout import (
    FOLDERS,
    HEAD_FILE,
    Folder,
    Head,
    artefact_name,
    artefact_prefix,
    case_folder,
)
from activities.evidence.vault.writing import Draft, Drafts, sync_folder
from playbooks.canonical import canonical


class LocalVault:
    """A write-once directory; safe for threads and for several processes on one machine."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        (self.root / "case").mkdir(parents=True, exist_ok=True, mode=0o700)
        self._drafts = Drafts(self.root / "incoming")
        self._drafts.sweep()

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
        target = case_folder(self.root, case_id) / "artefacts" / artefact_name(evidence_id, name)
        with self._drafts.begin() as draft:
            draft.write(chunks)
            _check(evidence_id, draft, sha256=sha256, size=size)
            with self.locked(case_id, ".artefacts.lock"):
                self._check_id_is_free(target, evidence_id)
                draft.place(target)
        return Storage(uri=target.as_uri(), checksum=draft.sha256)

    def put_document(self, case_id: str, folder: Folder, name: str, content: bytes) -> Path:
        """Keep a manifest, a custody event or a report; `name` is checked by the caller's `layout` function.

        Raises:
            VaultConflict: other bytes are kept under that name.
            VaultUnavailable: the disk is full or broken; nothing is kept.
        """
        target = self.case(case_id) / folder / name
        if target.parent.name != folder:
            raise VaultRefused(f"{name!r} is no name of a document.", hint="Documents have no folders.")
        with self._drafts.begin() as draft:
            draft.write([content])
            draft.place(target)
        return target

    def put_head(self, head: Head) -> None:
        """Replace the head as a whole. The caller holds the case's chain lock."""
        folder = self.case(head.case_id)
        draft = folder / f".head-{uuid4().hex}"
        with draft.open("xb") as file:
            file.write(canonical(head))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / HEAD_FILE)
        sync_folder(folder)

    def open(self, case_id: str, evidence_id: str) -> BinaryIO:
        """Read an artefact. Whoever calls writes the custody event.

        Raises:
            VaultMissing: there is none.
        """
        return self.find(case_id, evidence_id).open("rb")

    def find(self, case_id: str, evidence_id: str) -> Path:
        """Where an artefact is.

        Raises:
            VaultMissing: there is none.
        """
        found = _of_id(case_folder(self.root, case_id) / "artefacts", evidence_id)
        if not found:
            raise VaultMissing(
                f"The vault holds nothing as {evidence_id} in case {case_id}.",
                hint="The list of the case's evidence says what became of it.",
            )
        return found[0]

    def case(self, case_id: str) -> Path:
        """The folder of a case, made if there is none."""
        folder = case_folder(self.root, case_id)
        if not all((folder / sub).is_dir() for sub in FOLDERS):
            for sub in FOLDERS:
                (folder / sub).mkdir(parents=True, exist_ok=True, mode=0o700)
            sync_folder(folder)
            sync_folder(folder.parent)
        return folder

    @contextmanager
    def locked(self, case_id: str, name: str = ".chains.lock") -> Iterator[None]:
        """Order the writers of one case, across processes."""
        handle = os.open(self.case(case_id) / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    @staticmethod
    def _check_id_is_free(target: Path, evidence_id: str) -> None:
        others = [path.name for path in _of_id(target.parent, evidence_id) if path != target]
        if others:
            raise VaultConflict(
                f"{evidence_id} is kept as {others[0]} and came again as {target.name}.",
                hint="An artefact has one name: give the new one an id of its own.",
            )


def _of_id(folder: Path, evidence_id: str) -> list[Path]:
    prefix = artefact_prefix(evidence_id)
    return [path for path in folder.iterdir() if path.name.startswith(prefix)] if folder.is_dir() else []


def _check(evidence_id: str, draft: Draft, *, sha256: str, size: int | None) -> None:
    if size is not None and draft.size != size:
        raise VaultMismatch(
            f"{evidence_id} came with {draft.size} bytes, expected {size}.", hint="Send it again as a whole."
        )
    if draft.sha256 != sha256:
        raise VaultMismatch(
            f"{evidence_id} came with sha256 {draft.sha256}, expected {sha256}.",
            hint="Send it again as a whole.",
        )
