"""Artefacts on their way into a bucket, and what S3 says of them afterwards.

Owns sending one file, in one request or in parts, and the proof by head: size, checksum and lock are asked back
from S3, and nothing is claimed that it did not say. Never reads a caller's stream.

    artefacts.keep("case/inc-1/artefacts/web.ring-01@ring.pcapng", path, sha256=digest, checksum=digest, lock=lock)
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

from activities.contracts.evidence import Storage
from activities.evidence.errors import VaultConflict, VaultMismatch, VaultMissing, VaultUnavailable
from activities.evidence.vault.bucket import Bucket, LostRace, Version
from activities.evidence.vault.directory import sealed_file
from activities.evidence.vault.keys import Keys
from activities.evidence.vault.layout import ENCRYPTED, SEPARATOR
from activities.evidence.vault.locks import Lock
from activities.evidence.vault.multipart import PART_BYTES, MultipartUpload, Uploaded
from activities.evidence.vault.s3_locking import make_stricter, set_hold

# Digest of the bytes as collected; as stored; scheme and key id.
_COLLECTED, _STORED, _ENCRYPTION = "sha256", "stored-sha256", "encryption"


class S3Artefacts:
    """The artefacts of a bucket; safe for threads and processes. `notes` remembers uploads that are under way."""

    def __init__(self, bucket: Bucket, notes: Path, keys: Keys | None) -> None:
        self._bucket, self._notes, self._keys = bucket, notes, keys

    def keep(self, key: str, path: Path, *, sha256: str, checksum: str, lock: Lock) -> Storage:
        """Send a file, which is encrypted already if it has to be; `key` is that of the artefact's name.

        Raises:
            VaultConflict: the id is taken by other bytes or another name.
            VaultMismatch: the file, or what S3 says it has, is not what was announced.
            VaultUnavailable: S3 is away, or has lost what it had of it.
        """
        known = self.known(key, sha256)
        if known is not None:
            return known
        target = key + (ENCRYPTED if self._keys else "")
        headers = {"Metadata": self._metadata(path, sha256, checksum)} | lock.headers
        try:
            uploaded = self._send(target, path, checksum, headers)
        except LostRace:
            known = self.known(key, sha256)
            if known is None:
                raise VaultConflict(
                    f"{self._bucket.uri(target)} is hidden by a delete marker.", hint="Look at it."
                ) from None
            return known
        except VaultMissing as error:
            # A completion that was asked for twice, since its first answer was lost; or an upload that was swept.
            known = self.known(key, sha256)
            if known is None:
                raise VaultUnavailable(f"{error.summary}", hint="It is sent anew.") from error
            return known
        version = Version(target, uploaded.version_id, path.stat().st_size, "", latest=True)
        self._check(version, uploaded, checksum)
        return self.locked(version, lock)

    def known(self, key: str, sha256: str) -> Storage | None:
        """How this artefact is kept, if it is; raises VaultConflict where its id is taken by something else."""
        folder, _, file_name = key.rpartition("/")
        evidence_id = file_name.partition(SEPARATOR)[0]
        for found, version in self._bucket.first(f"{folder}/{evidence_id}{SEPARATOR}").items():
            if found.removesuffix(ENCRYPTED) != key:
                known_as = found.rpartition("/")[2].removesuffix(ENCRYPTED)
                raise VaultConflict(
                    f"{evidence_id} is kept as {known_as} and came again as {file_name}.",
                    hint="An artefact has one name: give the new one an id of its own.",
                )
            kept = self.digest(version)
            if kept != sha256:
                raise VaultConflict(
                    f"{file_name} is kept with sha256 {kept} and came again with {sha256}.",
                    hint="Nothing is ever overwritten: give the new bytes an id of their own.",
                )
            return self._storage(version, self._bucket.head(version))
        return None

    def locked(self, version: Version, asked: Lock) -> Storage:
        """Make its lock at least as strict; raises VaultDenied where S3 does not say that it is."""
        return self._storage(version, make_stricter(self._bucket, version, asked))

    def held(self, version: Version, *, on: bool) -> Storage:
        """Legal hold on or off; raises VaultDenied where S3 does not say that it is."""
        return self._storage(version, set_hold(self._bucket, version, on=on))

    def _send(self, key: str, path: Path, checksum: str, headers: dict[str, Any]) -> Uploaded:
        if path.stat().st_size > PART_BYTES:
            return MultipartUpload(self._bucket, key, self._notes).run(path, checksum, headers)
        content = path.read_bytes()
        found = hashlib.sha256(content)
        if found.hexdigest() != checksum:
            raise VaultMismatch(
                f"{path.name} came with sha256 {found.hexdigest()}, expected {checksum}.", hint="Again."
            )
        version_id = self._bucket.put(key, content, None, IfNoneMatch="*", **headers)
        return Uploaded(version_id, base64.b64encode(found.digest()).decode())

    def _check(self, version: Version, uploaded: Uploaded, checksum: str) -> None:
        """Whether S3 has what we sent, by its own word."""
        head = self._bucket.head(version)
        found = (head.get("ChecksumSHA256"), head["ContentLength"], head["Metadata"].get(_STORED))
        expected = (uploaded.checksum, version.size, checksum)
        if found != expected:
            raise VaultMismatch(
                f"{self._bucket.uri(version.key)}: expected checksum, size and digest {expected}, found {found}.",
                hint="The server keeps something else than it was sent: look at it before you rely on it.",
            )

    def _metadata(self, path: Path, sha256: str, checksum: str) -> dict[str, str]:
        known = {_COLLECTED: sha256, _STORED: checksum}
        if self._keys is None:
            return known
        with path.open("rb") as file:
            return known | {_ENCRYPTION: sealed_file(file, None).encryption}

    def digest(self, version: Version) -> str:
        """Of the bytes as collected: by our own metadata, or of what somebody else put there."""
        said = self._bucket.head(version)["Metadata"].get(_COLLECTED)
        if said:
            return str(said)
        found = hashlib.sha256()
        for chunk in self._bucket.read(version):
            found.update(chunk)
        return found.hexdigest()

    def _storage(self, version: Version, head: dict[str, Any]) -> Storage:
        lock, metadata = Lock.found(head), head["Metadata"]
        return Storage(
            uri=self._bucket.uri(version.key),
            checksum=metadata.get(_STORED) or self.digest(version),
            lock_mode=lock.mode,
            version_id=version.version_id,
            retain_until=lock.until,
            legal_hold=lock.legal_hold,
            encryption=metadata.get(_ENCRYPTION, ""),
        )
