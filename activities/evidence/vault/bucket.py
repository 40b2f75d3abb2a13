"""The calls that a vault makes of S3, and what their refusals mean.

Owns one bucket under one prefix, and the rule by which a key is read: what was written first is what it holds.
Under Object Lock the first version can't be deleted, so that neither a later version nor a delete marker changes
what is read. Deletes nothing.

    bucket = Bucket(boto3.client("s3"), "evidence", "firebreak")
    bucket.first("case/inc-1/artefacts/web.ring-01@")       # -> {key: Version}
"""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from activities.evidence.errors import VaultDenied, VaultMissing, VaultUnavailable
from activities.evidence.vault.locks import Lock

# On the bucket; deploy/aws/vault-policy.json gives exactly these. Nothing here deletes or passes a lock by.
BUCKET_PERMISSIONS = frozenset({"s3:GetBucketObjectLockConfiguration", "s3:ListBucketVersions"})
OBJECT_PERMISSIONS = frozenset(
    {
        "s3:AbortMultipartUpload",
        "s3:GetObject",  # what If-Match asks for
        "s3:GetObjectLegalHold",
        "s3:GetObjectRetention",
        "s3:GetObjectVersion",
        "s3:ListMultipartUploadParts",
        "s3:PutObject",
        "s3:PutObjectLegalHold",
        "s3:PutObjectRetention",
    }
)
CHUNK_BYTES = 1 << 20
# As many as one listing can have (API reference, ListObjectVersions).
PAGE = 1000
_MISSING = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchUpload", "404"})
_RACE = frozenset({"PreconditionFailed", "412"})
_PASSING = frozenset(
    {
        "ConditionalRequestConflict",
        "OperationAborted",
        "SlowDown",
        "InternalError",
        "ServiceUnavailable",
        "RequestTimeout",
        "Throttling",
        "503",
        "500",
    }
)
_SERVER_ERROR = 500


class LostRace(Exception):
    """What a write was conditional on is not so: somebody else was first."""


@dataclass(frozen=True)
class Version:
    """One version of a key."""

    key: str
    version_id: str
    size: int
    etag: str
    latest: bool


class Bucket:
    """A bucket with Object Lock; safe for threads, as botocore's clients are."""

    def __init__(self, client: Any, name: str, prefix: str = "") -> None:
        self._client, self.name = client, name
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def uri(self, key: str = "") -> str:
        """What people call it."""
        return f"s3://{self.name}/{self._prefix}{key}"

    def ask(self, operation: str, key: str | None = None, **arguments: Any) -> dict[str, Any]:
        """One call, about `key` of ours where one is given.

        Raises:
            VaultMissing: there is no such key, version or upload.
            LostRace: a condition does not hold.
            VaultUnavailable: no answer, or one that may be another next time.
            VaultDenied: not allowed, or not possible.
        """
        if key is not None:
            arguments["Key"] = self._prefix + key
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(Bucket=self.name, **arguments)
        except ClientError as error:
            raise self._meaning(operation, key, error) from error
        except (BotoCoreError, OSError) as error:
            raise VaultUnavailable(f"{self.uri()} does not answer: {error}", hint="It is tried again.") from error
        return answer

    def check_lock(self) -> None:
        """Whether the bucket can be what a vault needs.

        Raises:
            VaultDenied: it has no Object Lock, or may not be asked.
            VaultUnavailable: it does not answer.
        """
        answer = self.ask("get_object_lock_configuration")
        if answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") != "Enabled":
            raise VaultDenied(f"{self.uri()} has no Object Lock.", hint="Make a bucket with Object Lock for evidence.")

    def versions(self, prefix: str, page: int = PAGE) -> Iterator[Version]:
        """Every version of every key that begins so, the newest of a key first; so many are asked for at once."""
        arguments: dict[str, Any] = {"Prefix": self._prefix + prefix, "MaxKeys": page}
        while True:
            answer = self.ask("list_object_versions", **arguments)
            for found in answer.get("Versions", ()):
                key = found["Key"].removeprefix(self._prefix)
                yield Version(key, found["VersionId"], found["Size"], found["ETag"], found["IsLatest"])
            if not answer.get("IsTruncated"):
                return
            arguments["KeyMarker"] = answer["NextKeyMarker"]
            if answer.get("NextVersionIdMarker"):
                arguments["VersionIdMarker"] = answer["NextVersionIdMarker"]

    def first(self, prefix: str) -> dict[str, Version]:
        """The version of each key that was written first."""
        return {version.key: version for version in self.versions(prefix)}

    def put(self, key: str, content: bytes, lock: Lock | None, **conditions: Any) -> str:
        """Write a small object, by default only where none is; its version id. Raises LostRace."""
        conditions = conditions or {"IfNoneMatch": "*"}
        checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
        arguments = {"Body": content, "ChecksumAlgorithm": "SHA256", "ChecksumSHA256": checksum} | conditions
        return str(self.ask("put_object", key, **arguments, **(lock.headers if lock else {})).get("VersionId", ""))

    def head(self, version: Version) -> dict[str, Any]:
        """What S3 says of a version, with its checksum."""
        return self.ask("head_object", version.key, VersionId=version.version_id, ChecksumMode="ENABLED")

    def read(self, version: Version, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Bytes as stored."""
        end = version.size if length is None else min(start + length, version.size)
        if start >= end:
            return
        wanted = {"VersionId": version.version_id, "Range": f"bytes={start}-{end - 1}"}
        body = self.ask("get_object", version.key, **wanted)["Body"]
        try:
            yield from body.iter_chunks(CHUNK_BYTES)
        except (BotoCoreError, OSError) as error:
            raise VaultUnavailable(f"{self.uri(version.key)} broke off: {error}", hint="Read it again.") from error
        finally:
            body.close()

    def _meaning(self, operation: str, key: str | None, error: ClientError) -> Exception:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        where = self.uri(key or "")
        if code in _MISSING:
            return VaultMissing(f"{where}: {code}: {message}", hint="Is the vault's bucket the right one?")
        if code in _RACE:
            return LostRace(where)
        if code in _PASSING or status >= _SERVER_ERROR:
            return VaultUnavailable(f"{where} can't be used now: {code}: {message}", hint="It is tried again.")
        return VaultDenied(f"S3 refused {operation} of {where}: {code}: {message}", hint="See deploy/aws/README.md.")
