"""One case in a directory: of a local vault, of a copy of it, or of an exported bag.

Owns reading it without trust: whatever stands there may have been put by somebody else. Never writes, needs no
vault and no network.

    case = DirectoryCase(Path("bag/data"))
    b"".join(case.read("web-9f2c.ring-0001", start=100, length=50))
"""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from activities.evidence.errors import VaultMismatch, VaultMissing
from activities.evidence.vault.interface import Kept
from activities.evidence.vault.keys import Keys
from activities.evidence.vault.layout import (
    HEAD_FILE,
    Folder,
    Head,
    artefact_prefix,
    document_file_name,
    parse_artefact_name,
)
from activities.evidence.vault.sealed_bytes import SealedBytes
from activities.evidence.vault.writing import CHUNK_BYTES
from playbooks.canonical import canonical

# Nothing that is written here as a document comes near it; a stranger's bag can't make us read more.
MAX_DOCUMENT_BYTES = 64 << 20


class DirectoryCase:
    """A case's folder, read only; `keys` where its artefacts are encrypted."""

    def __init__(self, folder: Path, keys: Keys | None = None) -> None:
        self.folder, self._keys = folder, keys

    def artefacts(self) -> list[Kept]:
        """Every artefact that there is, by id.

        Raises:
            VaultMismatch: something lies among them that is none, or two are of one id.
        """
        return by_id(self._kept(name) for name in _names(self.folder / "artefacts"))

    def find(self, evidence_id: str) -> Kept:
        """One artefact; raises VaultMissing."""
        return self._kept(self.path(evidence_id).name)

    def path(self, evidence_id: str) -> Path:
        """The file of an artefact, which may be encrypted.

        Raises:
            VaultMissing: there is none.
            VaultMismatch: there is more than one.
        """
        prefix = artefact_prefix(evidence_id)
        found = [name for name in _names(self.folder / "artefacts") if name.startswith(prefix)]
        if not found:
            raise VaultMissing(
                f"There is no artefact {evidence_id} in case {self.folder.name}.",
                hint="The list of the case's evidence says what became of it.",
            )
        return self.folder / "artefacts" / only_one(evidence_id, found)

    def read(self, evidence_id: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Bytes as collected; the file stays open until the end is reached or nobody asks any more.

        Raises:
            VaultMissing: there is none.
            VaultMismatch: it is no file, or can't be decrypted.
        """
        path = self.path(evidence_id)
        if parse_artefact_name(path.name)[2]:
            return _decrypted(_open(path), self._keys, start, length)
        return _plain(_open(path), start, length)

    def documents(self, folder: Folder) -> list[str]:
        """Names in a folder, sorted, which is the order of a chain."""
        return _names(self.folder / folder)

    def document(self, folder: Folder, name: str) -> bytes:
        """One document.

        Raises:
            VaultMissing: there is none.
            VaultMismatch: it is no file, or larger than any document of ours.
        """
        return _small(self.folder / folder / document_file_name(name))

    def head(self) -> Head | None:
        """How long the chains are; None: the case has none yet.

        Raises:
            VaultMismatch: it can't be read as one.
        """
        try:
            return parse_head(_small(self.folder / HEAD_FILE))
        except VaultMissing:
            return None

    def _kept(self, file_name: str) -> Kept:
        evidence_id, name, encrypted = parse_artefact_name(file_name)
        with _open(self.folder / "artefacts" / file_name) as file:
            size = os.fstat(file.fileno()).st_size
            if encrypted:
                size = sealed_file(file, self._keys).size
        return Kept(evidence_id=evidence_id, name=name, size=size)


def by_id(found: Iterable[Kept]) -> list[Kept]:
    """Artefacts in the order of their ids; raises VaultMismatch where two are of one id."""
    kept = sorted(found, key=lambda one: (one.evidence_id, one.name))
    for first, second in pairwise(kept):
        if first.evidence_id == second.evidence_id:
            only_one(first.evidence_id, [first.name, second.name])
    return kept


def only_one(evidence_id: str, names: Sequence[str]) -> str:
    """The one name; of several nobody can say which is genuine. Raises VaultMismatch."""
    if len(names) > 1:
        raise VaultMismatch(
            f"{evidence_id}: expected one file, found {len(names)}: {', '.join(names)}.",
            hint="An artefact has one name: somebody else put the other one there.",
        )
    return names[0]


def sealed_file(file: BinaryIO, keys: Keys | None) -> SealedBytes:
    """An open file as the encrypted artefact that it is."""
    handle = file.fileno()
    return SealedBytes(lambda start, length: os.pread(handle, length, start), os.fstat(handle).st_size, keys)


def parse_head(content: bytes) -> Head:
    """A head from its bytes; raises VaultMismatch."""
    try:
        head = Head.model_validate_json(content)
    except ValidationError as error:
        raise VaultMismatch(
            f"{HEAD_FILE} can't be read as a head: {str(error).splitlines()[0]}", hint="It was altered."
        ) from error
    if canonical(head) != content:
        raise VaultMismatch(f"{HEAD_FILE} is not in the canonical form in which it is written.", hint="It was altered.")
    return head


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _open(path: Path) -> BinaryIO:
    """A regular file and nothing else: no link is followed, no pipe waited for."""
    name = f"{path.parent.name}/{path.name}"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise VaultMissing(f"There is no {name}.", hint="Look at the list of the case's evidence.") from error
    except OSError as error:
        raise VaultMismatch(
            f"{name} can't be opened as a file: {error.strerror}.", hint="Somebody changed it."
        ) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise VaultMismatch(f"{name} is no regular file.", hint="Somebody else put it there.")
    return os.fdopen(handle, "rb", buffering=0)


def _small(path: Path) -> bytes:
    with _open(path) as file:
        content = file.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise VaultMismatch(f"{path.name} is larger than {MAX_DOCUMENT_BYTES} bytes.", hint="Somebody changed it.")
    return content


def _plain(file: BinaryIO, start: int, length: int | None) -> Iterator[bytes]:
    with file:
        file.seek(start)
        left = length
        while (wanted := CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)) and (chunk := file.read(wanted)):
            left = None if left is None else left - len(chunk)
            yield chunk


def _decrypted(file: BinaryIO, keys: Keys | None, start: int, length: int | None) -> Iterator[bytes]:
    with file:
        yield from sealed_file(file, keys).read(start, length)
