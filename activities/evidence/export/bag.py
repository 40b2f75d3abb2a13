"""What an exported bag is made of (BagIt 1.0, RFC 8493), known before its first byte leaves.

Owns the plan: every file with its size and digest. Digests of items are those of their manifests; whoever streams the
bag recomputes them. Documents are small and held; items never are.

    bag = plan_bag(reader, contents, roots=[pem], exported_at=now)
    for entry in bag.entries: ...
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from activities.contracts.evidence import CollectedItem
from activities.evidence.contents import CaseContents
from activities.evidence.errors import ExportBroken
from activities.evidence.export.readme import readme
from activities.evidence.export.sealed_part import sealed_part
from activities.evidence.sealing.names import sort_out
from activities.evidence.sealing.trust import Trust
from activities.evidence.vault.interface import CaseReader
from activities.evidence.vault.layout import HEAD_FILE, Folder, Head, artefact_name
from playbooks.canonical import canonical

BAGIT = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
BAG_INFO, MANIFEST, TAG_MANIFEST, README = "bag-info.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt", "README.md"
# What the tag manifest covers; it can't cover itself.
TAG_FILES = (BAG_INFO, "bagit.txt", MANIFEST, README)
NOTHING_KNOWN = Trust()
CASE_KEY = "External-Identifier"
DOCUMENT_FOLDERS: tuple[Folder, ...] = ("manifests", "custody", "seals", "keys", "documents")


@dataclass(frozen=True)
class Entry:
    """One file of the bag."""

    path: str
    size: int
    sha256: str
    chunks: Callable[[], Iterable[bytes]]


@dataclass(frozen=True)
class Bag:
    """A whole bag; `name` is its folder."""

    name: str
    case_id: str
    made_at: datetime
    entries: tuple[Entry, ...]
    keyids: tuple[str, ...] = ()
    """Of its seals' keys, if they were held against keys that are known here."""


def plan_bag(
    reader: CaseReader,
    contents: CaseContents,
    *,
    roots: Sequence[x509.Certificate],
    exported_at: datetime,
    trust: Trust = NOTHING_KNOWN,
) -> Bag:
    """The bag of a case as it was read up to its last seal, which nobody needs to hold still any more.

    Raises:
        ExportBroken: the case does not hold together, has no seal, or one that does not hold by `trust`.
    """
    contents, keyids = sealed_part(contents, trust)
    head, number = _head(contents)
    payload = [*_payload(reader, contents, head), *_roots(roots)]
    payload.sort(key=lambda entry: entry.path)
    tags = {
        "bagit.txt": BAGIT,
        BAG_INFO: _bag_info(head.case_id, number, payload, exported_at),
        MANIFEST: listing((entry.path, entry.sha256) for entry in payload),
        README: readme(head.case_id, contents, stamped=bool(roots)).encode(),
    }
    tags[TAG_MANIFEST] = listing((name, hashlib.sha256(tags[name]).hexdigest()) for name in sorted(TAG_FILES))
    # What tells of the whole comes first, so that a bag that was broken off can be told from a whole one.
    entries = (*(_held(name, content) for name, content in tags.items()), *payload)
    return Bag(f"firebreak-{head.case_id}-{number:06d}", head.case_id, exported_at, entries, keyids)


def listing(files: Iterable[tuple[str, str]]) -> bytes:
    """A manifest as `sha256sum` writes and reads it."""
    return "".join(f"{digest}  {path}\n" for path, digest in files).encode()


def _head(contents: CaseContents) -> tuple[Head, int]:
    if contents.head is None:
        raise ExportBroken("The case can't be exported: it has no head.", hint="firebreak evidence verify CASE")
    return contents.head, max(sort_out(list(contents.seals)).envelopes)


def _payload(reader: CaseReader, contents: CaseContents, head: Head) -> Iterator[Entry]:
    yield _held(f"data/{HEAD_FILE}", canonical(head))
    for folder in DOCUMENT_FOLDERS:
        for name in _names(contents, folder):
            yield _held(f"data/{folder}/{name}", reader.document(folder, name))
    for manifest in contents.manifests.links:
        if manifest.item.storage is not None:
            yield _artefact(reader, manifest.item)


def _names(contents: CaseContents, folder: Folder) -> Sequence[str]:
    """As they were when the case was read: what came since is no part of it."""
    known: dict[Folder, Sequence[str]] = {
        "manifests": contents.manifests.names,
        "custody": contents.custody.names,
        "seals": tuple(contents.seals),
        "keys": tuple(contents.keys),
        "documents": tuple(contents.documents),
    }
    return known[folder]


def _artefact(reader: CaseReader, item: CollectedItem) -> Entry:
    path = f"data/artefacts/{artefact_name(item.evidence_id, item.name)}"
    return Entry(path, item.size, item.sha256 or "", lambda: reader.read(item.evidence_id))


def _roots(roots: Sequence[x509.Certificate]) -> list[Entry]:
    return [_held(f"data/tsa/{root_name(root)}", root.public_bytes(Encoding.PEM)) for root in roots]


def root_name(root: x509.Certificate) -> str:
    """A root certificate is called by its fingerprint, so that no other one can be called so."""
    return f"{root.fingerprint(SHA256()).hex()}.pem"


def _held(path: str, content: bytes) -> Entry:
    return Entry(path, len(content), hashlib.sha256(content).hexdigest(), lambda: [content])


def _bag_info(case_id: str, number: int, payload: Sequence[Entry], exported_at: datetime) -> bytes:
    fields = {
        CASE_KEY: case_id,
        "Bagging-Date": f"{exported_at:%Y-%m-%d}",
        "Payload-Oxum": f"{sum(entry.size for entry in payload)}.{len(payload)}",
        "Internal-Sender-Description": f"Evidence of case {case_id}, up to seal {number}",
        "Bag-Software-Agent": "Firebreak",
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items()).encode()
