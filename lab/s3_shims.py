"""Where moto's S3 differs from AWS in something that the evidence vault relies on: set right inside the test server.

Owns the differences, each with what AWS does. Never runs inside the product. Which differences remain is in
docs/verified-against.md.

    install()
"""

import base64
import hashlib
import io
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from moto.s3.exceptions import AccessDeniedByLock, S3ClientError
from moto.s3.models import FakeKey, S3Backend
from moto.s3.responses import S3Response

_UPLOAD_ID = re.compile(r"<UploadId>([^<]+)</UploadId>")
_LOCK = ("x-amz-object-lock-mode", "x-amz-object-lock-legal-hold", "x-amz-object-lock-retain-until-date")


class BadDigest(S3ClientError):
    """What S3 answers to bytes that are not what their checksum says."""

    def __init__(self) -> None:
        super().__init__("BadDigest", "The SHA256 you specified did not match the calculated checksum.")


def install() -> None:
    """Set everything right; once, before the server answers."""
    setattr(FakeKey, "__deepcopy__", _without_contents)  # noqa: B010 - no attribute to mypy
    _wrap(S3Response, "_get_checksum", _checked)
    _wrap(S3Response, "_key_response_post", _with_lock_headers)
    _wrap(S3Backend, "complete_multipart_upload", _locked_on_completion)
    _wrap(S3Response, "put_object_retention", _never_loosened)
    _wrap(S3Response, "list_parts", _with_checksums)
    _wrap(S3Response, "head_object", _with_number_of_parts)


def _wrap(owner: type, name: str, around: Callable[..., Any]) -> None:
    original = getattr(owner, name)

    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return around(original, self, *args, **kwargs)

    setattr(owner, name, wrapped)


def _without_contents(key: Any, _memo: Any) -> Any:
    """Listing versions copies the contents of the whole bucket, which no listing shows."""
    copy = object.__new__(type(key))
    copy.__dict__.update(key.__dict__, _etag=key.etag, _value_buffer=io.BytesIO(), multipart=None, disposed=True)
    return copy


def _checked(original: Any, self: Any, response_headers: dict[str, Any]) -> Any:
    """S3 computes the checksum that it is given, and refuses bytes that have another; moto believes it."""
    said = self.headers.get("x-amz-checksum-sha256")
    if said and said != base64.b64encode(hashlib.sha256(self.body or b"").digest()).decode():
        raise BadDigest
    return original(self, response_headers)


def _with_lock_headers(original: Any, self: Any, request: Any, *call: Any) -> Any:
    """The lock of an upload in parts is said when it begins; moto does not listen."""
    (_, bucket, query, _), (status, headers, answer) = call, original(self, request, *call)
    found = _UPLOAD_ID.search(answer.decode() if isinstance(answer, bytes) else answer)
    if "uploads" in query and found:
        upload = self.backend.get_bucket(bucket).multiparts[found[1]]
        upload.lock_asked = tuple(request.headers.get(name) for name in _LOCK)
    return status, headers, answer


def _locked_on_completion(original: Any, self: Any, bucket: str, upload_id: str, body: Any) -> Any:
    """The version that an upload in parts becomes has the lock that it began with."""
    upload = self.get_bucket(bucket).multiparts[upload_id]
    key = original(self, bucket, upload_id, body)
    key.lock_mode, key.lock_legal_status, key.lock_until = getattr(upload, "lock_asked", (None, None, None))
    return key


def _never_loosened(original: Any, self: Any) -> Any:
    """A lock in force is only ever extended: COMPLIANCE always, GOVERNANCE without the right to pass it by."""
    key = self.backend.get_object(self.bucket_name, self.parse_key_name(), version_id=self._get_param("versionId"))
    bypass = self.headers.get("x-amz-bypass-governance-retention", "").lower() == "true"
    asked_mode, asked_until = self._mode_until_from_body()
    if key is not None and key.is_locked(governance_bypass=bypass) and key.lock_until:
        loosened = key.lock_mode == "COMPLIANCE" and asked_mode != "COMPLIANCE"
        if not asked_until or loosened or _time(asked_until) < _time(key.lock_until):
            raise AccessDeniedByLock
    return original(self)


def _with_checksums(original: Any, self: Any) -> Any:
    """S3 tells the checksum of each part; moto does not."""
    status, headers, answer = original(self)
    text = answer.decode() if isinstance(answer, bytes) else answer
    parts = self.backend.get_bucket(self.bucket_name).multiparts[self._get_param("uploadId")].parts

    def told(found: re.Match[str]) -> str:
        digest = base64.b64encode(hashlib.sha256(parts[int(found[1])].value).digest()).decode()
        return f"{found[0]}<ChecksumSHA256>{digest}</ChecksumSHA256>"

    return status, headers, re.sub(r"<PartNumber>(\d+)</PartNumber>", told, text)


def _with_number_of_parts(original: Any, self: Any, bucket: str, query: Any, key_name: str, headers: Any) -> Any:
    """The checksum of an object in parts ends with their number; moto's HEAD leaves it out."""
    status, said, body = original(self, bucket, query, key_name, headers)
    if "x-amz-checksum-sha256" in said:
        key = self.backend.head_object(bucket, key_name, version_id=query.get("versionId", [None])[0])
        if key.checksum_type == "COMPOSITE":
            said["x-amz-checksum-sha256"] = f"{key.checksum_value}-{key.checksum_parts}"
    return status, said, body


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
