"""Bringing one file to S3 in parts, going on after a crash where it was.

Owns one upload: its parts with their SHA-256, at most a few of them in memory, and the note by which a later
process finds it again. What S3 has already is kept only where its checksum is that of our file. Completes nothing
that is not as announced, and nothing over something that exists.

    MultipartUpload(bucket, key, notes).run(path, checksum, headers)      # -> Uploaded
"""

import base64
import contextlib
import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from activities.evidence.errors import VaultMismatch, VaultMissing
from activities.evidence.vault.bucket import Bucket

# Several items are on their way at once, each with a few parts in memory; ten thousand of them are 78 GiB.
PART_BYTES = 8 << 20
# Amazon S3 user guide, "Multipart upload limits".
MAX_PARTS = 10_000
IN_FLIGHT = 3


@dataclass(frozen=True)
class Uploaded:
    """A version as S3 should have it: its checksum is the digest of the digests of its parts."""

    version_id: str
    checksum: str


@dataclass(frozen=True)
class _Part:
    number: int
    etag: str
    checksum: str

    @property
    def said(self) -> dict[str, Any]:
        return {"PartNumber": self.number, "ETag": self.etag, "ChecksumSHA256": self.checksum}


class MultipartUpload:
    """One file on its way to one key; `notes` is a folder on our disk."""

    def __init__(self, bucket: Bucket, key: str, notes: Path) -> None:
        self._bucket, self._key, self._notes = bucket, key, notes

    def run(self, path: Path, checksum: str, headers: dict[str, Any]) -> Uploaded:
        """Send what is missing and complete it. `checksum` is the file's SHA-256, `headers` metadata and lock.

        Raises:
            LostRace: the key exists by now.
            VaultMismatch: the file is not what was announced.
            VaultMissing: S3 has no such upload any more; the next run begins anew.
            VaultUnavailable: S3 is away; what it has stays there, and the next run goes on.
        """
        note = self._notes / hashlib.sha256(f"{self._key}\n{checksum}".encode()).hexdigest()
        known = self._known(note)
        if known is None:
            upload_id, there = self._create(note, headers), dict[int, dict[str, Any]]()
        else:
            upload_id, there = known
        try:
            uploaded = self._complete(upload_id, self._send(path, upload_id, checksum, there))
        except VaultMissing:
            note.unlink(missing_ok=True)
            raise
        note.unlink(missing_ok=True)
        return uploaded

    def _known(self, note: Path) -> tuple[str, dict[int, dict[str, Any]]] | None:
        """The upload that an earlier run began, and the parts that S3 has of it."""
        try:
            upload_id = note.read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        there: dict[int, dict[str, Any]] = {}
        marker = 0
        with contextlib.suppress(VaultMissing):  # completed, aborted, or swept by a lifecycle rule
            while True:
                answer = self._bucket.ask("list_parts", self._key, UploadId=upload_id, PartNumberMarker=marker)
                there |= {part["PartNumber"]: part for part in answer.get("Parts", ())}
                if not answer.get("IsTruncated"):
                    return upload_id, there
                marker = answer["NextPartNumberMarker"]
        return None

    def _create(self, note: Path, headers: dict[str, Any]) -> str:
        answer = self._bucket.ask(
            "create_multipart_upload", self._key, ChecksumAlgorithm="SHA256", ChecksumType="COMPOSITE", **headers
        )
        upload_id = str(answer["UploadId"])
        self._notes.mkdir(parents=True, exist_ok=True, mode=0o700)
        note.write_text(upload_id, encoding="ascii")
        return upload_id

    def _send(self, path: Path, upload_id: str, checksum: str, there: dict[int, dict[str, Any]]) -> list[_Part]:
        whole, sent, flying = hashlib.sha256(), list[_Part](), deque[Future[_Part]]()
        with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="part") as threads:
            try:
                for number, part in _parts(path):
                    whole.update(part)
                    if len(flying) == IN_FLIGHT:
                        sent.append(flying.popleft().result())
                    flying.append(threads.submit(self._part, upload_id, number, part, there.get(number)))
                sent += [future.result() for future in flying]
            finally:
                for future in flying:
                    future.cancel()
        if whole.hexdigest() != checksum:
            self._bucket.ask("abort_multipart_upload", self._key, UploadId=upload_id)
            raise VaultMismatch(
                f"{path.name} came with sha256 {whole.hexdigest()}, expected {checksum}.", hint="Send it again."
            )
        return sent

    def _part(self, upload_id: str, number: int, part: bytes, there: dict[str, Any] | None) -> _Part:
        checksum = base64.b64encode(hashlib.sha256(part).digest()).decode()
        if there is not None and (there.get("ChecksumSHA256"), there["Size"]) == (checksum, len(part)):
            return _Part(number, there["ETag"], checksum)
        arguments = {"UploadId": upload_id, "PartNumber": number, "Body": part}
        answer = self._bucket.ask(
            "upload_part", self._key, **arguments, ChecksumAlgorithm="SHA256", ChecksumSHA256=checksum
        )
        return _Part(number, answer["ETag"], checksum)

    def _complete(self, upload_id: str, parts: list[_Part]) -> Uploaded:
        answer = self._bucket.ask(
            "complete_multipart_upload",
            self._key,
            UploadId=upload_id,
            MultipartUpload={"Parts": [part.said for part in parts]},
            IfNoneMatch="*",
        )
        digests = b"".join(base64.b64decode(part.checksum) for part in parts)
        composite = base64.b64encode(hashlib.sha256(digests).digest()).decode()
        return Uploaded(answer["VersionId"], f"{composite}-{len(parts)}")


def _parts(path: Path) -> Iterator[tuple[int, bytes]]:
    size = max(PART_BYTES, -(-path.stat().st_size // MAX_PARTS))
    with path.open("rb") as file:
        number = 0
        while part := file.read(size):
            number += 1
            yield number, part
