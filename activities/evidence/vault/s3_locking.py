"""Locks and holds of versions that exist: made stricter, and believed when S3 says that they are.

Owns those two calls. Knows no artefact and no document.

    head = make_stricter(bucket, version, Lock.asked(retention))
"""

from typing import Any

from activities.evidence.errors import VaultDenied
from activities.evidence.vault.bucket import Bucket, Version
from activities.evidence.vault.locks import Lock


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
        raise VaultDenied(f"{bucket.uri(version.key)}: the hold did not change.", hint="Is Object Lock on?")
    return head


def _ask(bucket: Bucket, operation: str, version: Version, **arguments: Any) -> None:
    bucket.ask(operation, version.key, VersionId=version.version_id, ChecksumAlgorithm="SHA256", **arguments)
