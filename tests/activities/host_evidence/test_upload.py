"""Uploading to a vault behind a real HTTP server that checks what the API has to check."""

import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from activities.evidence.errors import UploadRefused, VaultConflict
from activities.evidence.receive import check_upload
from activities.evidence.vault.local import LocalVault
from activities.host.upload import UploadFailed, VaultUploader
from activities.orders.keys import public_bytes

HOST = "9f2c"


class VaultServer(ThreadingHTTPServer):
    """PUT into a local vault. `failures`: statuses to answer first, 0 for a connection that breaks."""

    daemon_threads = True

    def __init__(self, vault: LocalVault, public_key: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.vault, self.public_key = vault, public_key
        self.failures: list[int] = []
        self.requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: VaultServer
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.server.requests += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.failures:
            self._fail(self.server.failures.pop(0))
            return
        try:
            self._answer(200, self._keep(body))
        except (UploadRefused, VaultConflict) as error:
            self._answer(409 if isinstance(error, VaultConflict) else 401, str(error))

    def _keep(self, body: bytes) -> str:
        key = self.server.public_key
        claim = check_upload("PUT", self.path, dict(self.headers.items()), public_key=key, now=time.time())
        assert claim.host_id == HOST
        parts = urlsplit(self.path)
        _, _, _, incident_id, evidence_id = parts.path.split("/")
        name = parse_qs(parts.query)["name"][0]
        put = self.server.vault.put_stream
        return put(incident_id, evidence_id, name, [body], sha256=claim.sha256, size=len(body)).model_dump_json()

    def _fail(self, status: int) -> None:
        if status:
            self._answer(status, "not now")
        else:
            self.close_connection = True

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Quiet."""


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def server(tmp_path: Path, key: Ed25519PrivateKey) -> Iterator[VaultServer]:
    serving = VaultServer(LocalVault(tmp_path / "vault"), public_bytes(key.public_key()))
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield serving
    serving.shutdown()
    thread.join()
    serving.server_close()


@pytest.fixture
def uploader(server: VaultServer, key: Ed25519PrivateKey) -> Iterator[VaultUploader]:
    with httpx.Client() as client:
        yield VaultUploader(client, server.url, HOST, key, patience_seconds=2)


@pytest.fixture
def artefact(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "ring.pcapng"
    path.write_bytes(bytes(range(256)) * 4096)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_artefact_arrives_as_it_was_and_the_vault_says_where(
    server: VaultServer, uploader: VaultUploader, artefact: tuple[Path, str]
) -> None:
    path, digest = artefact
    storage = uploader.upload("inc-1", "web.ring-0001", "ring.pcapng", path, digest)
    assert storage.checksum == digest
    assert server.vault.find("inc-1", "web.ring-0001").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("failures", [[503], [0], [500, 0, 429]])
def test_passing_trouble_is_waited_out(
    server: VaultServer, uploader: VaultUploader, artefact: tuple[Path, str], failures: list[int]
) -> None:
    server.failures = failures
    assert uploader.upload("inc-1", "web.ring-0001", "ring.pcapng", *artefact).checksum == artefact[1]


def test_sending_the_same_again_is_harmless(uploader: VaultUploader, artefact: tuple[Path, str]) -> None:
    first = uploader.upload("inc-1", "e", "ring.pcapng", *artefact)
    assert uploader.upload("inc-1", "e", "ring.pcapng", *artefact) == first


def test_refusal_is_not_repeated_and_carries_its_reason(
    server: VaultServer, uploader: VaultUploader, artefact: tuple[Path, str]
) -> None:
    path, digest = artefact
    uploader.upload("inc-1", "e", "ring.pcapng", path, digest)
    path.write_bytes(b"other")
    with pytest.raises(UploadFailed, match=r"409.*came again"):
        uploader.upload("inc-1", "e", "ring.pcapng", path, hashlib.sha256(b"other").hexdigest())
    assert server.requests == 2


def test_vault_that_stays_away_costs_no_more_than_our_patience(
    key: Ed25519PrivateKey, artefact: tuple[Path, str]
) -> None:
    begun = time.monotonic()
    with httpx.Client() as client:
        uploader = VaultUploader(client, "http://127.0.0.1:9", HOST, key, patience_seconds=0.5)
        with pytest.raises(UploadFailed, match="ConnectError"):
            uploader.upload("inc-1", "e", "ring.pcapng", *artefact)
    assert time.monotonic() - begun < 2


def test_upload_of_another_key_is_refused(server: VaultServer, artefact: tuple[Path, str]) -> None:
    with httpx.Client() as client:
        stranger = VaultUploader(client, server.url, HOST, Ed25519PrivateKey.generate(), patience_seconds=1)
        with pytest.raises(UploadFailed, match="not signed by the host"):
            stranger.upload("inc-1", "e", "ring.pcapng", *artefact)
    assert not (server.vault.root / "case" / "inc-1").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Firebreak-Timestamp": "1"}, "last 300 s"),
        ({"Firebreak-Timestamp": "soon"}, "last 300 s"),
        ({"Content-Digest": "md5=:x:"}, "no sha-256"),
        ({"Firebreak-Signature": "%%%"}, "not signed"),
        ({"Firebreak-Signature": ""}, "not signed"),
    ],
)
def test_headers_that_prove_nothing_are_refused(
    key: Ed25519PrivateKey, artefact: tuple[Path, str], change: dict[str, str], reason: str
) -> None:
    seen: list[httpx.Request] = []

    def keep(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(400)

    with httpx.Client(transport=httpx.MockTransport(keep)) as client, pytest.raises(UploadFailed):
        VaultUploader(client, "http://vault", HOST, key).upload("inc-1", "e", "ring.pcapng", *artefact)
    headers = httpx.Headers({**seen[0].headers, **change})
    target = seen[0].url.raw_path.decode()
    public = public_bytes(key.public_key())
    with pytest.raises(UploadRefused, match=reason):
        check_upload("PUT", target, headers, public_key=public, now=time.time())
    for other in ("/v1/vault/inc-2/e?name=ring.pcapng", target + "x"):
        with pytest.raises(UploadRefused, match="not signed"):
            check_upload("PUT", other, seen[0].headers, public_key=public, now=time.time())
