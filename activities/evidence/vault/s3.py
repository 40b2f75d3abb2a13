"""The evidence vault as an S3 bucket with Object Lock.

Owns `case/<case>/` under a prefix: the same names as the directory has. Whatever is written carries its lock from
the first moment, is written only where nothing is, and is read back by head: checksum and lock are what S3 says
they are, or it is an error. Items share no objects, since each has a retention and a hold of its own; the same item
is sent once. Never deletes. Writers of one case are ordered on this machine by a lock, and across machines by what
they write: names that are free, and a head that only ever grows.

    vault = S3Vault(Bucket(boto3.client("s3"), "evidence"), scratch, retention=timedelta(days=30))
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from activities.contracts.evidence import Retention, Storage
from activities.evidence.errors import VaultConflict, VaultUnavailable
from activities.evidence.vault.bucket import Bucket, LostRace
from activities.evidence.vault.heads import advanced
from activities.evidence.vault.interface import Kept
from activities.evidence.vault.keys import Keys
from activities.evidence.vault.layout import HEAD_FILE, Folder, Head, artefact_name, case_key, document_file_name
from activities.evidence.vault.local import check_announced
from activities.evidence.vault.locks import Lock
from activities.evidence.vault.s3_artefacts import S3Artefacts
from activities.evidence.vault.s3_case import S3Case, is_encrypted
from activities.evidence.vault.s3_locking import RecordLocks
from activities.evidence.vault.scratch import Scratch
from activities.evidence.vault.sealed_bytes import seal
from activities.evidence.vault.shelf import file_lock
from playbooks.canonical import canonical

_TRIES = 10


class S3Vault:
    """A bucket; safe for threads and processes. `scratch` is where things wait on their way to it."""

    def __init__(self, bucket: Bucket, scratch: Path, keys: Keys | None = None, *, retention: timedelta) -> None:
        self._bucket, self._keys, self._retention = bucket, keys, retention
        self._scratch = Scratch(scratch)
        self._artefacts = S3Artefacts(bucket, scratch / "multipart", keys)
        self._record_locks = RecordLocks(bucket)

    @property
    def uri(self) -> str:
        """The bucket and the prefix."""
        return self._bucket.uri().rstrip("/")

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
            VaultUnavailable: the bucket or our disk is away or full; nothing is kept.
            VaultRefused: a name that is no name.
            VaultDenied: a bucket that does not lock, or does not let us.
        """
        key = _artefact_key(case_id, evidence_id, name)
        with self._scratch.drafts.begin() as draft:
            draft.write(chunks, partial(seal, keys=self._keys, sha256=sha256) if self._keys else None)
            check_announced(evidence_id, draft, sha256=sha256, size=size)
            return self._artefacts.keep(key, draft.path, sha256=sha256, checksum=draft.checksum, lock=self._lock())

    def put_file(self, case_id: str, evidence_id: str, name: str, path: Path, *, sha256: str) -> Storage:
        """The same from a file whose digest the caller has computed; goes on where a crash ended it."""
        key = _artefact_key(case_id, evidence_id, name)
        if self._keys is None:
            return self._artefacts.keep(key, path, sha256=sha256, checksum=sha256, lock=self._lock())
        known = self._artefacts.known(key, sha256)
        if known is not None:
            return known
        with self._scratch.sealed(path, sha256, self._keys) as sealed:
            return self._artefacts.keep(key, sealed.path, sha256=sha256, checksum=sealed.checksum, lock=self._lock())

    def put_document(self, case_id: str, folder: Folder, name: str, content: bytes) -> str:
        """Keep a manifest, a custody event, a seal or a report; its URI.

        Raises:
            VaultConflict: other bytes are kept under that name.
            VaultUnavailable: the bucket is away, or did not keep it.
        """
        key = f"{case_key(case_id)}/{folder}/{document_file_name(name)}"
        version = self._bucket.first(key).get(key)
        if version is None:
            try:
                self._bucket.put(key, content, self._lock())
            except LostRace:
                version = self._bucket.first(key).get(key)
                if version is None:
                    raise VaultUnavailable(
                        f"{self._bucket.uri(key)} was neither written nor found.", hint="It is tried again."
                    ) from None
        if version is not None and b"".join(self._bucket.read(version)) != content:
            raise VaultConflict(f"{folder}/{name} is kept with other bytes.", hint="Nothing is ever overwritten.")
        return self._bucket.uri(key)

    def put_head(self, head: Head) -> None:
        """Write a newer head over an older one: never the other way round, whoever else writes.

        Raises:
            VaultConflict: another history stands there.
        """
        case, key = S3Case(self._bucket, head.case_id), f"{case_key(head.case_id)}/{HEAD_FILE}"
        for _ in range(_TRIES):
            version = case.head_version()
            known = case.head()
            wanted = advanced(known, head)
            if wanted == known:
                return
            # Where a delete marker lies above the last head there is nothing to match.
            condition = {"IfMatch": version.etag} if version and version.latest else {"IfNoneMatch": "*"}
            try:
                self._bucket.put(key, canonical(wanted), self._lock(), **condition)
            except LostRace:
                continue
            return
        raise VaultUnavailable(f"{self._bucket.uri(key)} changed {_TRIES} times meanwhile.", hint="Try again.")

    @contextmanager
    def locked(self, case_id: str) -> Iterator[None]:
        """Order the writers of one case's chains on this machine."""
        case_key(case_id)
        with file_lock(self._scratch.locks / f"{case_id}.lock"):
            yield

    def case(self, case_id: str) -> S3Case:
        """What the vault holds of a case; an unknown case is empty."""
        return S3Case(self._bucket, case_id, self._keys)

    def find(self, case_id: str, evidence_id: str) -> Kept:
        """One artefact; raises VaultMissing."""
        return self.case(case_id).find(evidence_id)

    def digest(self, case_id: str, evidence_id: str) -> str:
        """Of an artefact's bytes as collected, as noted when they were taken; raises VaultMissing."""
        case = self.case(case_id)
        version = case.version(evidence_id)
        return case.sealed(version).proven_digest() if is_encrypted(version) else self._artefacts.digest(version)

    def retain(self, case_id: str, evidence_id: str, retention: Retention) -> Storage:
        """Lock it so at least; a lock is never loosened. Raises VaultDenied where S3 does not lock."""
        version = self.case(case_id).version(evidence_id)
        return self._artefacts.locked(version, Lock.asked(retention))

    def hold(self, case_id: str, evidence_id: str, *, on: bool) -> Storage:
        """Legal hold on or off."""
        version = self.case(case_id).version(evidence_id)
        return self._artefacts.held(version, on=on)

    def retain_case(self, case_id: str, retention: Retention) -> None:
        """Lock what its documents and its head are read from so at least. Raises VaultDenied as `retain`."""
        self._record_locks.retain(self.case(case_id).record(), Lock.asked(retention))

    def hold_case(self, case_id: str, *, on: bool) -> None:
        """Legal hold on them, on or off."""
        self._record_locks.hold(self.case(case_id).record(), on=on)

    def _lock(self) -> Lock:
        """What everything is written with; S3 keeps whole seconds."""
        if not self._retention:
            return Lock()
        return Lock(mode="governance", until=datetime.now(UTC).replace(microsecond=0) + self._retention)


def _artefact_key(case_id: str, evidence_id: str, name: str) -> str:
    return f"{case_key(case_id)}/artefacts/{artefact_name(evidence_id, name)}"
