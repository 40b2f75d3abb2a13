"""Locks and holds of versions that exist: made stricter, and believed when S3 says that they are.

Owns those calls, of one version and of many side by side. No listing tells of a lock (ListObjectVersions has no field
for it), so each version is asked for by itself. Knows no artefact and no document.

    head = make_stricter(bucket, version, Lock.asked(retention))
    RecordLocks(bucket).retain(case.record(), Lock.asked(retention))
"""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any

from activities.evidence.errors import VaultDenied
from activities.evidence.side_by_side import side_by_side
from activities.evidence.vault.bucket import Bucket, Version
from activities.evidence.vault.locks import Lock

# Some ten megabytes; what is forgotten is asked for again.
MAX_SETTLED = 50_000


class RecordLocks:
    """Locks of many versions; safe for threads.

    Remembers what S3 said of locks in COMPLIANCE mode and of nothing else: nobody, the owner of the account neither,
    can shorten or lift one ("Locking objects with Object Lock", Amazon S3 User Guide), so that what it said once
    stands. Every other lock and every hold can be taken back, and is asked for each time.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._settled: dict[tuple[str, str], datetime] = {}

    def retain(self, versions: Iterable[Version], asked: Lock) -> None:
        """Make each lock at least as strict; raises VaultDenied where S3 does not say that it is."""
        if asked.locks:
            side_by_side(partial(self._retain, asked), (v for v in versions if not self._is_settled(v, asked)))

    def hold(self, versions: Iterable[Version], *, on: bool) -> None:
        """Legal hold on or off; raises VaultDenied where S3 does not say that it is."""
        side_by_side(lambda version: set_hold(self._bucket, version, on=on), versions)

    def _retain(self, asked: Lock, version: Version) -> None:
        lock = Lock.found(make_stricter(self._bucket, version, asked))
        if lock.mode == "compliance" and lock.until is not None:
            if len(self._settled) >= MAX_SETTLED:
                self._settled.clear()
            self._settled[version.key, version.version_id] = lock.until

    def _is_settled(self, version: Version, asked: Lock) -> bool:
        until = self._settled.get((version.key, version.version_id))
        known = Lock(mode="compliance", until=until)
        return until is not None and known.at_least(asked) == known


def make_stricter(bucket: Bucket, version: Version, asked: Lock) -> dict[str, Any]:
    """Make its lock at least as strict; what S3 says of it then. Raises VaultDenied where that is not so."""
    head = bucket.head(version)
    found = Lock.found(head)
    wanted = found.at_least(asked)
    if wanted == found:
        return head
    retention = {"Mode": wanted.mode.upper(), "RetainUntilDate": wanted.until}
    _ask(bucket, "put_object_retention", version, Retention=retention)
    head = bucket.head(version)
    if Lock.found(head).at_least(wanted) != Lock.found(head):
        raise VaultDenied(
            f"{bucket.uri(version.key)} is locked {Lock.found(head)}, expected {wanted}.",
            hint="The bucket has no Object Lock, or the server ignores it: it is no vault.",
        )
    return head


def set_hold(bucket: Bucket, version: Version, *, on: bool) -> dict[str, Any]:
    """Legal hold on or off; what S3 says of it then. Raises VaultDenied where that is not so."""
    head = bucket.head(version)
    if Lock.found(head).legal_hold == on:
        return head
    _ask(bucket, "put_object_legal_hold", version, LegalHold={"Status": "ON" if on else "OFF"})
    head = bucket.head(version)
    if Lock.found(head).legal_hold != on:
        found, expected = ("off", "on") if on else ("on", "off")
        raise VaultDenied(
            f"The legal hold of {bucket.uri(version.key)} is {found}, expected {expected}.", hint="Is Object Lock on?"
        )
    return head


def _ask(bucket: Bucket, operation: str, version: Version, **arguments: Any) -> None:
    bucket.ask(operation, version.key, VersionId=version.version_id, ChecksumAlgorithm="SHA256", **arguments)
