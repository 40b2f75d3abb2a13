"""One case in a bucket, read only.

Owns which version of each key is read: the first one, except of the head, whose last one counts. Never writes.

    case = S3Case(bucket, "inc-1", keys)
    b"".join(case.read("web-9f2c.ring-0001", start=100, length=50))
"""

from collections.abc import Iterator

from activities.evidence.errors import VaultMissing
from activities.evidence.side_by_side import side_by_side
from activities.evidence.vault.bucket import Bucket, Version
from activities.evidence.vault.directory import by_id, only_one, parse_head
from activities.evidence.vault.interface import Kept
from activities.evidence.vault.keys import Keys
from activities.evidence.vault.layout import (
    FOLDERS,
    HEAD_FILE,
    Folder,
    Head,
    artefact_prefix,
    case_key,
    document_file_name,
    parse_artefact_name,
)
from activities.evidence.vault.s3_ahead import ReadAhead
from activities.evidence.vault.sealed_bytes import SealedBytes

# Delete markers are listed with the versions.
_NEWEST = 10


class S3Case:
    """A case's keys, for one reader; what was listed is remembered, since first versions never change."""

    def __init__(self, bucket: Bucket, case_id: str, keys: Keys | None = None) -> None:
        self._bucket, self._case_id, self._keys = bucket, case_id, keys
        self._base = case_key(case_id)
        self._listed: dict[Folder, ReadAhead] = {}

    def artefacts(self) -> list[Kept]:
        """Every artefact that there is, by id.

        Raises:
            VaultMismatch: something lies among them that is none, or two are of one id.
        """
        found = self._bucket.first(f"{self._base}/artefacts/").values()
        # The size of an encrypted one is in its header.
        kept = side_by_side(self._kept, found) if any(map(is_encrypted, found)) else map(self._kept, found)
        return by_id(kept)

    def find(self, evidence_id: str) -> Kept:
        """One artefact; raises VaultMissing."""
        return self._kept(self.version(evidence_id))

    def version(self, evidence_id: str) -> Version:
        """The first version of an artefact, which may be encrypted.

        Raises:
            VaultMissing: there is none.
            VaultMismatch: there is more than one.
        """
        found = self._bucket.first(f"{self._base}/artefacts/{artefact_prefix(evidence_id)}")
        if not found:
            raise VaultMissing(
                f"There is no artefact {evidence_id} in case {self._case_id}.",
                hint="The list of the case's evidence says what became of it.",
            )
        return found[only_one(evidence_id, list(found))]

    def read(self, evidence_id: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Bytes as collected.

        Raises:
            VaultMissing: there is none.
            VaultMismatch: it can't be decrypted.
        """
        version = self.version(evidence_id)
        if is_encrypted(version):
            return self.sealed(version).read(start, length)
        return self._bucket.read(version, start, length)

    def sealed(self, version: Version) -> SealedBytes:
        """An encrypted artefact."""

        def fetch(start: int, length: int) -> bytes:
            return b"".join(self._bucket.read(version, start, length))

        return SealedBytes(fetch, version.size, self._keys)

    def documents(self, folder: Folder) -> list[str]:
        """Names in a folder, sorted, which is the order of a chain."""
        prefix = f"{self._base}/{folder}/"
        found = self._bucket.first(prefix)
        self._listed[folder] = ReadAhead(self._bucket, found)
        return sorted(key.removeprefix(prefix) for key in found)

    def document(self, folder: Folder, name: str) -> bytes:
        """One document; raises VaultMissing."""
        key = f"{self._base}/{folder}/{document_file_name(name)}"
        listed = self._listed.get(folder)
        if listed is not None and key in listed:
            return listed.read(key)
        version = self._bucket.first(key).get(key)
        if version is None:
            raise VaultMissing(f"There is no {folder}/{name} in case {self._case_id}.", hint="Look at its list.")
        return b"".join(self._bucket.read(version))

    def head(self) -> Head | None:
        """How long the chains are; None: the case has none yet. Raises VaultMismatch where it can't be read."""
        version = self.head_version()
        return parse_head(b"".join(self._bucket.read(version))) if version else None

    def head_version(self) -> Version | None:
        """The last head that was written, whatever lies above it."""
        key = f"{self._base}/{HEAD_FILE}"
        # Every link of a chain leaves one more version of it, of which the newest is listed first.
        return next((version for version in self._bucket.versions(key, _NEWEST) if version.key == key), None)

    def record(self) -> list[Version]:
        """What proves its artefacts: the versions by which its documents and its head are read."""
        folders = [f"{self._base}/{folder}/" for folder in FOLDERS if folder != "artefacts"]
        found = [version for listed in side_by_side(self._bucket.first, folders) for version in listed.values()]
        head = self.head_version()
        return [*found, head] if head else found

    def _kept(self, version: Version) -> Kept:
        evidence_id, name, encrypted = parse_artefact_name(_name(version.key))
        size = self.sealed(version).size if encrypted else version.size
        return Kept(evidence_id=evidence_id, name=name, size=size)


def is_encrypted(version: Version) -> bool:
    """Whether a version of an artefact is encrypted, by its name."""
    return parse_artefact_name(_name(version.key))[2]


def _name(key: str) -> str:
    return key.rpartition("/")[2]
