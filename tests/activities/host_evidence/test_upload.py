"""Uploading to a vault behind a real HTTP server that checks what the API has to check."""

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from activities.evidence.errors import UploadRefused
from activities.evidence.receive import check_upload
from activities.evidence.vault.local import LocalVault
from activities.host.upload import VaultUploader
from activities.host.upload_errors import UploadFailed
from activities.host.upload_parts import Parts
from activities.orders.keys import public_bytes
from tests.activities.host_evidence.vault_server import HOST, VaultServer

PART = 100_000
CONTENT = bytes(range(256)) * 4096
DIGEST = hashlib.sha256(CONTENT).hexdigest()


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
def client() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


@pytest.fixture
def uploader(client: httpx.Client, server: VaultServer, key: Ed25519PrivateKey) -> VaultUploader:
    return VaultUploader(client, server.url, HOST, key, patience_seconds=5, part_bytes=PART)


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    path = tmp_path / "ring.pcapng"
    path.write_bytes(CONTENT)
    return path


def kept(server: VaultServer, evidence_id: str = "e") -> bytes:
    return b"".join(server.vault.case("inc-1").read(evidence_id))


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, len(CONTENT)])
def test_artefact_arrives_as_it_was_in_as_many_parts_as_it_needs(
    server: VaultServer, uploader: VaultUploader, artefact: Path, size: int
) -> None:
    artefact.write_bytes(CONTENT[:size])
    told: list[int] = []
    sent = uploader.send("inc-1", "e", "ring.pcapng", artefact, told.append)
    assert (sent.size, sent.sha256) == (size, hashlib.sha256(CONTENT[:size]).hexdigest())
    assert sent.storage.checksum == sent.sha256
    assert kept(server) == CONTENT[:size]
    assert server.puts == list(range(0, max(size, 1), PART))
    assert told[-1] == size


@pytest.mark.parametrize("failures", [[503], [0], [-1], [500, 0, 429], [None, None, 0], [None, -1, 503, None, -1]])
def test_passing_trouble_is_waited_out_and_nothing_that_arrived_is_sent_again(
    server: VaultServer, uploader: VaultUploader, artefact: Path, failures: list[int | None]
) -> None:
    server.failures = list(failures)
    assert uploader.send("inc-1", "e", "ring.pcapng", artefact).sha256 == DIGEST
    assert kept(server) == CONTENT
    assert server.bytes_taken == len(CONTENT)


def test_answer_that_was_lost_is_asked_for_again(
    server: VaultServer, uploader: VaultUploader, artefact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = uploader.send("inc-1", "e", "ring.pcapng", artefact)
    assert uploader.send("inc-1", "e", "ring.pcapng", artefact) == first
    assert server.puts[-1] == len(CONTENT), "the digest of it all was enough"
    assert server.bytes_taken == len(CONTENT)


def test_agent_that_was_restarted_goes_on_where_it_was(
    client: httpx.Client, server: VaultServer, key: Ed25519PrivateKey, uploader: VaultUploader, artefact: Path
) -> None:
    hasty = VaultUploader(client, server.url, HOST, key, patience_seconds=0, part_bytes=PART)
    server.failures = [None, None, None, 503]
    with pytest.raises(UploadFailed, match="503"):
        hasty.send("inc-1", "e", "ring.pcapng", artefact)
    server.puts.clear()
    assert uploader.send("inc-1", "e", "ring.pcapng", artefact).sha256 == DIGEST
    assert server.puts[0] == 3 * PART
    assert server.bytes_taken == len(CONTENT)


def test_file_that_was_written_on_meanwhile_is_another_upload(
    client: httpx.Client, server: VaultServer, key: Ed25519PrivateKey, uploader: VaultUploader, artefact: Path
) -> None:
    hasty = VaultUploader(client, server.url, HOST, key, patience_seconds=0, part_bytes=PART)
    server.failures = [None, None, 503]
    with pytest.raises(UploadFailed):
        hasty.send("inc-1", "e", "ring.pcapng", artefact)
    artefact.write_bytes(CONTENT[::-1])
    sent = uploader.send("inc-1", "e", "ring.pcapng", artefact)
    assert sent.sha256 == hashlib.sha256(CONTENT[::-1]).hexdigest()
    assert kept(server) == CONTENT[::-1]


def test_file_that_shrinks_while_it_is_read_is_said_so(artefact: Path) -> None:
    parts = Parts(artefact, PART)
    artefact.write_bytes(CONTENT[: 2 * PART])
    with pytest.raises(OSError, match="shorter"):
        list(parts.after(0))


def test_digest_at_a_border_is_not_computed_twice(artefact: Path) -> None:
    parts = Parts(artefact, PART)
    whole = [part.sha256 for part in parts.after(0)]
    artefact.write_bytes(bytes(PART) + CONTENT[PART:])
    assert [part.sha256 for part in parts.after(PART)] == whole[1:], "what was hashed was not read again"


def test_refusal_is_not_repeated_and_carries_its_reason(
    server: VaultServer, uploader: VaultUploader, artefact: Path
) -> None:
    artefact.write_bytes(b"one")
    uploader.send("inc-1", "e", "ring.pcapng", artefact)
    artefact.write_bytes(b"other")
    with pytest.raises(UploadFailed, match=r"409.*came again"):
        uploader.send("inc-1", "e", "ring.pcapng", artefact)
    assert len(server.puts) == 2


def test_vault_that_stays_away_costs_no_more_than_our_patience(
    client: httpx.Client, key: Ed25519PrivateKey, artefact: Path
) -> None:
    begun = time.monotonic()
    uploader = VaultUploader(client, "http://127.0.0.1:9", HOST, key, patience_seconds=0.5)
    with pytest.raises(UploadFailed, match="ConnectError"):
        uploader.send("inc-1", "e", "ring.pcapng", artefact)
    assert time.monotonic() - begun < 2


def test_upload_of_another_key_is_refused(client: httpx.Client, server: VaultServer, artefact: Path) -> None:
    stranger = VaultUploader(client, server.url, HOST, Ed25519PrivateKey.generate(), patience_seconds=1)
    with pytest.raises(UploadFailed, match="not signed by the host"):
        stranger.send("inc-1", "e", "ring.pcapng", artefact)
    assert not (server.vault.root / "case" / "inc-1").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Firebreak-Timestamp": "1"}, "last 300 s"),
        ({"Firebreak-Timestamp": "soon"}, "last 300 s"),
        ({"Firebreak-Running-Digest": "md5=:x:"}, "no sha-256"),
        ({"Firebreak-Signature": "%%%"}, "not signed"),
        ({"Firebreak-Signature": ""}, "not signed"),
    ],
)
def test_headers_that_prove_nothing_are_refused(
    key: Ed25519PrivateKey, artefact: Path, change: dict[str, str], reason: str
) -> None:
    seen: list[httpx.Request] = []

    def keep(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(400)

    with httpx.Client(transport=httpx.MockTransport(keep)) as client, pytest.raises(UploadFailed):
        VaultUploader(client, "http://vault", HOST, key).send("inc-1", "e", "ring.pcapng", artefact)
    headers = httpx.Headers({**seen[0].headers, **change})
    target = seen[0].url.raw_path.decode()
    public = public_bytes(key.public_key())
    with pytest.raises(UploadRefused, match=reason):
        check_upload("PUT", target, headers, public_key=public, now=time.time())
    for other in ("/v1/vault/inc-2/e?name=ring.pcapng", target + "x"):
        with pytest.raises(UploadRefused, match="not signed"):
            check_upload("PUT", other, seen[0].headers, public_key=public, now=time.time())
