"""What a case holds besides its artefacts, read once: chains, head, seals, keys, documents.

Owns the reading, in one go and quickly, so that it can be done while nobody writes. Never judges.

    contents = read_case(vault.case("inc-1"))
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from activities.contracts.custody import CustodyEvent, Manifest
from activities.evidence.chains import Chain, read_chain
from activities.evidence.errors import VaultMismatch, VaultMissing, VaultRefused
from activities.evidence.vault.interface import CaseReader
from activities.evidence.vault.layout import Folder, Head


@dataclass(frozen=True)
class CaseContents:
    """One case as it was at one moment."""

    head: Head | None
    head_failure: str
    manifests: Chain[Manifest]
    custody: Chain[CustodyEvent]
    seals: Mapping[str, bytes]
    keys: Mapping[str, bytes]
    documents: Mapping[str, str]
    """Digests by name."""


def read_case(reader: CaseReader) -> CaseContents:
    """Everything but the artefacts."""
    head, failure = _head(reader)
    ends = (head.manifest_head, head.custody_head) if head else (None, None)
    seals, keys, documents = read_sealed(reader)
    return CaseContents(
        head=head,
        head_failure=failure,
        manifests=read_chain(reader, "manifests", Manifest, ends[0]),
        custody=read_chain(reader, "custody", CustodyEvent, ends[1]),
        seals=seals,
        keys=keys,
        documents=documents,
    )


def read_sealed(reader: CaseReader) -> tuple[dict[str, bytes], dict[str, bytes], dict[str, str]]:
    """Seals, keys, and the digests of documents, by name."""
    documents = {name: sha256(content).hexdigest() for name, content in _documents(reader, "documents").items()}
    return _documents(reader, "seals"), _documents(reader, "keys"), documents


def _documents(reader: CaseReader, folder: Folder) -> dict[str, bytes]:
    return {name: _content(reader, folder, name) for name in reader.documents(folder)}


def _content(reader: CaseReader, folder: Folder, name: str) -> bytes:
    """Nothing for what is no file of ours: nothing is in no envelope, key or document either."""
    try:
        return reader.document(folder, name)
    except (VaultMismatch, VaultMissing, VaultRefused):
        return b""


def _head(reader: CaseReader) -> tuple[Head | None, str]:
    try:
        head = reader.head()
    except VaultMismatch as error:
        return None, f"head.json: can't be read: {error.summary}"
    return head, "" if head else "head.json: expected one, found nothing"
