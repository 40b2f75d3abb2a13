"""Bringing one artefact to the vault over HTTP, signed by this host.

Owns the requests, their signatures and their retries. A file is read once: hashed while it is sent, part by part,
and every part proves everything before it. What breaks off goes on where the vault says. Never decides what is
sent, never follows a redirect, and needs no memory of the artefact's size.

    uploader = VaultUploader(httpx.Client(), "http://10.78.0.1:8080", host_id, key)
    uploader.send("inc-1", "web.ring-0001", "ring.pcapng", path)    # -> Sent
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from activities.contracts.evidence import Storage
from activities.evidence.receive import (
    DIGEST_HEADER,
    OFFSET_HEADER,
    RUNNING_DIGEST_HEADER,
    content_digest,
)
from activities.host.signed import signed_headers
from activities.host.upload_answers import MAX_PAUSE_SECONDS, code_of, offset_of, retry_after, said_by
from activities.host.upload_errors import NotNow, UploadFailed, UploadRejected
from activities.host.upload_parts import PART_BYTES, FilePart, Parts

CHUNK_BYTES = 256 << 10
_PAUSE_SECONDS = 0.1
_TRY_AGAIN = frozenset({408, 425, 429})
# The vault may still be at a large artefact; it says so after ten seconds at the latest. Both together are less than
# the time for which a worker may be silent.
_TIMEOUT = httpx.Timeout(15.0, connect=5.0)
_NOTHING = hashlib.sha256(b"").hexdigest()
_ACCEPTED, _CONFLICT, _UNPROCESSABLE = 202, 409, 422


@dataclass(frozen=True)
class Sent:
    """An artefact that the vault has."""

    size: int
    sha256: str
    storage: Storage


class Uploader(Protocol):
    """Where artefacts go."""

    def send(
        self,
        incident_id: str,
        evidence_id: str,
        name: str,
        path: Path,
        progress: Callable[[int], None] = ...,
        *,
        once: bool = False,
    ) -> Sent:
        """Keep the file's bytes; raises UploadFailed. `progress` is told how many of them are there.

        `once`: without patience, since the vault was away a moment ago.
        """


class VaultUploader:
    """Uploads to the API's vault; safe for threads. `patience_seconds` bounds the time without any progress."""

    def __init__(
        self,
        client: httpx.Client,
        api_url: str,
        host_id: str,
        key: Ed25519PrivateKey,
        *,
        patience_seconds: float = 60.0,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._client, self._api = client, httpx.URL(api_url.rstrip("/") + "/")
        self._host_id, self._key = host_id, key
        self.patience_seconds, self.part_bytes = patience_seconds, part_bytes

    def send(
        self,
        incident_id: str,
        evidence_id: str,
        name: str,
        path: Path,
        progress: Callable[[int], None] = lambda _: None,
        *,
        once: bool = False,
    ) -> Sent:
        """Send the file; the same again is harmless, the vault knows it.

        Raises:
            UploadFailed: refused, or not reachable for as long as our patience lasts.
            OSError: the file can't be read.
        """
        url = self._api.join(f"v1/vault/{incident_id}/{evidence_id}")
        return _Upload(self, url, name, path, progress, patience_seconds=0.0 if once else self.patience_seconds).run()

    def upload(self, incident_id: str, evidence_id: str, name: str, path: Path, sha256: str) -> Storage:
        """Send a file whose digest is known already; raises as `send`."""
        sent = self.send(incident_id, evidence_id, name, path)
        if sent.sha256 != sha256:
            raise UploadFailed(f"{path} changed while it was sent.", hint="Both states are evidence: send it again.")
        return sent.storage

    def put(self, url: httpx.URL, part: FilePart) -> httpx.Response:
        """One part, signed."""
        proof = {RUNNING_DIGEST_HEADER: content_digest(part.sha256)}
        headers = self._signed("PUT", url, proof) | {
            "Content-Length": str(len(part.data)),
            "Content-Type": "application/octet-stream",
        }
        return self._client.put(url, content=_chunks(part.data), headers=headers, timeout=_TIMEOUT)

    def head(self, url: httpx.URL) -> httpx.Response:
        """Where an upload goes on, signed."""
        headers = self._signed("HEAD", url, {DIGEST_HEADER: content_digest(_NOTHING)})
        return self._client.head(url, headers=headers, timeout=_TIMEOUT)

    def _signed(self, method: str, url: httpx.URL, proof: dict[str, str]) -> dict[str, str]:
        return signed_headers(method, url.raw_path.decode("ascii"), proof, host_id=self._host_id, key=self._key)


class _Upload:
    """One artefact on its way."""

    def __init__(
        self,
        to: VaultUploader,
        url: httpx.URL,
        name: str,
        path: Path,
        progress: Callable[[int], None],
        *,
        patience_seconds: float,
    ) -> None:
        self._to, self._path, self._progress, self._patience = to, path, progress, patience_seconds
        self._parts = Parts(path, to.part_bytes)
        self._params = {"name": name, "size": str(self._parts.size)}
        self._url, self._evidence_id = url, url.path.rpartition("/")[2]
        self._there, self._mismatches, self._pause, self._deadline = 0, 0, 0.0, 0.0
        self._moved(0)

    def run(self) -> Sent:
        """Until it is in the vault, is refused, or nothing has moved for as long as our patience lasts."""
        # What goes in one request is not worth asking for.
        offset = 0 if self._parts.size <= self._to.part_bytes else None
        while True:
            try:
                return self._send_after(self._ask() if offset is None else offset)
            except httpx.TransportError as error:
                offset = self._wait(NotNow(f"{type(error).__name__}: {error}"))
            except NotNow as error:
                offset = self._wait(error)

    def _send_after(self, offset: int) -> Sent:
        with closing(self._parts.after(offset)) as parts:
            for part in parts:
                answer = self._to.put(self._url.copy_with(params=self._params | {"offset": str(part.offset)}), part)
                storage = self._judge(answer, part)
                if storage is not None:
                    self._progress(part.end)
                    return Sent(self._parts.size, part.sha256, storage)
                self._moved(part.end)
        raise NotNow("the vault is still at it", offset=self._parts.size)

    def _ask(self) -> int:
        answer = self._to.head(self._url.copy_with(params=self._params))
        self._check(answer)
        return offset_of(answer, self._parts.size)

    def _judge(self, answer: httpx.Response, part: FilePart) -> Storage | None:
        """The storage; None: the part was taken, and more is to come."""
        if answer.status_code == _CONFLICT and OFFSET_HEADER in answer.headers:
            raise NotNow("the vault has another part of it", offset=offset_of(answer, self._parts.size))
        if answer.status_code == _UNPROCESSABLE and code_of(answer) == "vault-mismatch":
            # The same part once more; then all of it, since what is there may not be what is here any more.
            self._mismatches += 1
            raise NotNow(said_by(answer), offset=part.offset if self._mismatches == 1 else 0)
        self._check(answer)
        self._mismatches = 0
        if answer.status_code == _ACCEPTED:
            return None
        try:
            return Storage.model_validate_json(answer.content)
        except ValidationError as error:
            raise UploadRejected(
                f"The vault's answer is no Storage: {error}", hint=f"It is in {self._path}."
            ) from error

    def _check(self, answer: httpx.Response) -> None:
        if answer.is_server_error or answer.status_code in _TRY_AGAIN:
            raise NotNow(f"the vault answered {answer.status_code}: {said_by(answer)}", pause=retry_after(answer))
        if not answer.is_success:
            raise UploadRejected(
                f"The vault refused {self._path.name} with {answer.status_code}: {said_by(answer)}",
                hint=f"It is kept in {self._path}.",
            )

    def _wait(self, reason: NotNow) -> int | None:
        """Where to go on, after a while; raises UploadFailed at the end of our patience."""
        pause = max(self._pause, reason.pause)
        if time.monotonic() + pause > self._deadline:
            raise UploadFailed(
                f"{self._evidence_id} did not reach the vault: {reason}.", hint=f"It is in {self._path}."
            )
        self._progress(self._there)
        time.sleep(pause)
        self._pause = min(self._pause * 2, MAX_PAUSE_SECONDS)
        return reason.offset

    def _moved(self, offset: int) -> None:
        """Something got there: patience begins anew."""
        self._there, self._pause = offset, _PAUSE_SECONDS
        self._deadline = time.monotonic() + self._patience
        self._progress(offset)


def _chunks(data: bytes) -> Iterator[bytes]:
    """Small enough that a socket's partial writes copy little."""
    for begin in range(0, len(data), CHUNK_BYTES):
        yield data[begin : begin + CHUNK_BYTES]
