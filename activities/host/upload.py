"""Bringing one artefact to the vault over HTTP, signed by this host.

Owns the request, its signature and its retries. Never decides what is sent, never follows a redirect, and
needs no memory of the artefact's size: it is streamed.

    uploader = VaultUploader(httpx.Client(), "http://10.78.0.1:8080", host_id, key)
    uploader.upload("inc-1", "web.ring-0001", "ring.pcapng", path, sha256)    # -> Storage
"""

import base64
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Protocol

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from activities.contracts.evidence import Storage
from activities.evidence.receive import (
    DIGEST_HEADER,
    HOST_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    content_digest,
    upload_message,
)
from segmentation.errors import FirebreakError

CHUNK_BYTES = 256 << 10
_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 0.1, 5.0
_TRY_AGAIN = frozenset({408, 425, 429})


class UploadFailed(FirebreakError):
    """The vault did not take an artefact."""

    code: ClassVar[str] = "upload-failed"
    retryable: ClassVar[bool] = True


class Uploader(Protocol):
    """Where artefacts go."""

    def upload(self, incident_id: str, evidence_id: str, name: str, path: Path, sha256: str) -> Storage:
        """Keep the file's bytes; raises UploadFailed."""


class VaultUploader:
    """Uploads to the API's vault; safe for threads. `patience_seconds` bounds the retries of one artefact."""

    def __init__(
        self,
        client: httpx.Client,
        api_url: str,
        host_id: str,
        key: Ed25519PrivateKey,
        *,
        patience_seconds: float = 60.0,
    ) -> None:
        self._client, self._api = client, httpx.URL(api_url.rstrip("/") + "/")
        self._host_id, self._key, self._patience_seconds = host_id, key, patience_seconds

    def upload(self, incident_id: str, evidence_id: str, name: str, path: Path, sha256: str) -> Storage:
        """Send the file; the same again is harmless, the vault knows it.

        Raises:
            UploadFailed: refused, or not reachable for as long as our patience lasts.
        """
        url = self._api.join(f"v1/vault/{incident_id}/{evidence_id}").copy_with(params={"name": name})
        deadline, pause = time.monotonic() + self._patience_seconds, _PAUSE_SECONDS
        while True:
            reason, storage = self._attempt(url, path, sha256)
            if storage is not None:
                return storage
            if time.monotonic() + pause > deadline:
                raise UploadFailed(f"{evidence_id} did not reach the vault: {reason}.", hint=f"It is in {path}.")
            time.sleep(pause)
            pause = min(pause * 2, _PAUSE_SECONDS_MAX)

    def _attempt(self, url: httpx.URL, path: Path, sha256: str) -> tuple[str, Storage | None]:
        """The storage, or why it should be tried again."""
        try:
            answer = self._client.put(url, content=_chunks(path), headers=self._headers(url, path, sha256))
        except httpx.TransportError as error:
            return f"{type(error).__name__}: {error}", None
        if answer.is_server_error or answer.status_code in _TRY_AGAIN:
            return f"the vault answered {answer.status_code}", None
        if not answer.is_success:
            raise UploadFailed(
                f"The vault refused {path.name} with {answer.status_code}: {answer.text[:300]}",
                hint=f"It is kept in {path}.",
            )
        try:
            return "", Storage.model_validate_json(answer.content)
        except ValidationError as error:
            raise UploadFailed(f"The vault's answer is no Storage: {error}", hint=f"It is in {path}.") from error

    def _headers(self, url: httpx.URL, path: Path, sha256: str) -> dict[str, str]:
        target, digest = url.raw_path.decode("ascii"), content_digest(sha256)
        return signed_headers("PUT", target, digest, host_id=self._host_id, key=self._key) | {
            "Content-Length": str(path.stat().st_size),
            "Content-Type": "application/octet-stream",
        }


def post_signed(
    client: httpx.Client, api_url: str, path: str, body: bytes, *, host_id: str, key: Ed25519PrivateKey
) -> None:
    """Post a small document as this host; raises httpx.HTTPError when it is not taken."""
    digest = content_digest(hashlib.sha256(body).hexdigest())
    headers = signed_headers("POST", path, digest, host_id=host_id, key=key) | {"Content-Type": "application/json"}
    client.post(api_url.rstrip("/") + path, content=body, headers=headers).raise_for_status()


def signed_headers(method: str, target: str, digest: str, *, host_id: str, key: Ed25519PrivateKey) -> dict[str, str]:
    """What proves that a request is this host's; `target` is path and query as sent."""
    timestamp = str(int(time.time()))
    signature = key.sign(upload_message(method, target, timestamp, digest))
    return {
        DIGEST_HEADER: digest,
        HOST_HEADER: host_id,
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: base64.b64encode(signature).decode("ascii"),
    }


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
