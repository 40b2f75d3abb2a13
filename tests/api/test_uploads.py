"""Uploads in parts: each proves everything before it, and goes on where the API says."""

import hashlib
import os
import shutil
import time
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from activities.evidence.errors import VaultDenied, VaultUnavailable
from activities.evidence.receive import DIGEST_HEADER, OFFSET_HEADER, RUNNING_DIGEST_HEADER, content_digest
from activities.evidence.vault import incoming as bounds
from activities.evidence.vault.arriving import Place
from activities.evidence.vault.layout import host_prefix
from activities.evidence.vault.spool import Part
from activities.host.signed import signed_headers
from activities.orders.keys import public_bytes
from api.dependencies import ApiDependencies
from segmentation.errors import FirebreakError
from tests.activities.full_disk import small_disk
from tests.activities.ledger.making import record, workload

CONTENT = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OWN = host_prefix("web", "id-web")
ITEM, HALF = f"{OWN}packets-1", 100_000


class Sender:
    """A host with its key."""

    def __init__(self, http: httpx.AsyncClient, key: Ed25519PrivateKey) -> None:
        self._http, self._key = http, key

    async def put(
        self,
        offset: int,
        end: int,
        *,
        body: bytes | None = None,
        size: int = len(CONTENT),
        digest: str = "",
        item: str = ITEM,
    ) -> httpx.Response:
        target = f"/v1/vault/inc-1/{item}?name=ring.pcapng&size={size}&offset={offset}"
        running = digest or hashlib.sha256(CONTENT[:end]).hexdigest()
        headers = self.headers("PUT", target, {RUNNING_DIGEST_HEADER: content_digest(running)})
        return await self._http.put(target, content=CONTENT[offset:end] if body is None else body, headers=headers)

    async def offset(self, size: int = len(CONTENT)) -> int:
        target = f"/v1/vault/inc-1/{ITEM}?name=ring.pcapng&size={size}"
        proof = {DIGEST_HEADER: content_digest(hashlib.sha256(b"").hexdigest())}
        answer = await self._http.head(target, headers=self.headers("HEAD", target, proof))
        assert answer.status_code == 204, answer.text
        return int(answer.headers[OFFSET_HEADER])

    def headers(self, method: str, target: str, proof: dict[str, str]) -> dict[str, str]:
        return signed_headers(method, target, proof, host_id="id-web", key=self._key)


@pytest.fixture
def sender(http: httpx.AsyncClient, dependencies: ApiDependencies, host_key: Ed25519PrivateKey) -> Sender:
    dependencies.ledger.hosts.join(workload(), public_bytes(host_key.public_key()))
    dependencies.ledger.incidents.record(record("inc-1", 1, "isolated"))
    return Sender(http, host_key)


def kept(given: ApiDependencies) -> bytes:
    return b"".join(given.vault.case("inc-1").read(ITEM))


def spools(given: ApiDependencies) -> list[Path]:
    return list((given.vault_dir / "spool").iterdir())


def restarted(given: ApiDependencies) -> None:
    """What a new process knows of uploads: the disk."""
    given.incoming.close()
    del given.__dict__["incoming"]


async def test_parts_become_one_item(sender: Sender, dependencies: ApiDependencies) -> None:
    first = await sender.put(0, HALF)
    assert (first.status_code, first.headers[OFFSET_HEADER], first.json()) == (202, "100000", {"offset": HALF})
    assert not dependencies.vault.case("inc-1").artefacts()
    assert await sender.offset() == HALF
    last = await sender.put(HALF, len(CONTENT))
    assert (last.status_code, last.json()["checksum"]) == (201, DIGEST)
    assert kept(dependencies) == CONTENT
    assert spools(dependencies) == []


@pytest.mark.parametrize("offset", [1, HALF - 1, HALF + 1, len(CONTENT)])
async def test_part_that_does_not_fit_is_told_where_to_go_on(sender: Sender, offset: int) -> None:
    await sender.put(0, HALF)
    answer = await sender.put(offset, len(CONTENT))
    assert (answer.status_code, answer.json()["code"]) == (409, "upload-offset")
    assert answer.headers[OFFSET_HEADER] == str(HALF)


async def test_part_of_foreign_bytes_is_not_kept(sender: Sender, dependencies: ApiDependencies) -> None:
    await sender.put(0, HALF)
    wrong = await sender.put(HALF, len(CONTENT), body=bytes(len(CONTENT) - HALF))
    assert (wrong.status_code, wrong.json()["code"]) == (422, "vault-mismatch")
    assert await sender.offset() == HALF
    assert (await sender.put(HALF, len(CONTENT))).status_code == 201
    assert kept(dependencies) == CONTENT


async def test_upload_goes_on_after_a_restart_from_what_is_on_the_disk(
    sender: Sender, dependencies: ApiDependencies
) -> None:
    await sender.put(0, HALF)
    restarted(dependencies)
    assert await sender.offset() == HALF
    assert (await sender.put(HALF, len(CONTENT))).status_code == 201
    assert kept(dependencies) == CONTENT


async def test_bytes_that_changed_on_the_disk_are_noticed(sender: Sender, dependencies: ApiDependencies) -> None:
    await sender.put(0, HALF)
    restarted(dependencies)
    (spool,) = spools(dependencies)
    with spool.open("r+b") as file:
        file.write(b"\xff")
    assert (await sender.put(HALF, len(CONTENT))).status_code == 422
    assert (await sender.put(0, len(CONTENT))).status_code == 201
    assert kept(dependencies) == CONTENT


async def test_item_that_is_kept_needs_no_more_than_its_digest(sender: Sender, dependencies: ApiDependencies) -> None:
    first = await sender.put(0, len(CONTENT))
    assert await sender.offset() == len(CONTENT)
    elsewhere = await sender.put(0, HALF)
    assert (elsewhere.status_code, elsewhere.headers[OFFSET_HEADER]) == (409, str(len(CONTENT)))
    again = await sender.put(len(CONTENT), len(CONTENT))
    assert (again.status_code, again.json()) == (201, first.json())
    other = await sender.put(len(CONTENT), len(CONTENT), digest="0" * 64)
    assert (other.status_code, other.json()["code"]) == (409, "vault-conflict")
    assert OFFSET_HEADER not in other.headers


async def test_more_than_was_announced_is_refused_and_forgotten(sender: Sender, dependencies: ApiDependencies) -> None:
    answer = await sender.put(0, len(CONTENT), size=len(CONTENT) - 1)
    assert (answer.status_code, answer.json()["code"]) == (413, "upload-too-large")
    assert spools(dependencies) == []
    assert (await sender.put(0, 10, size=dependencies.limits.evidence_bytes + 1)).status_code == 413


@pytest.mark.parametrize("refusal", [VaultUnavailable, VaultDenied])
async def test_vault_that_is_away_keeps_what_came_until_it_is_back(
    sender: Sender, dependencies: ApiDependencies, monkeypatch: pytest.MonkeyPatch, refusal: type[FirebreakError]
) -> None:
    """A directory is never away for a while: the refusal stands for a bucket's."""

    def away(*_: object, **__: object) -> None:
        raise refusal("The bucket does not answer, or not to us any more.", hint="Later.")

    with monkeypatch.context() as patched:
        patched.setattr(dependencies.vault, "put_file", away)
        answer = await sender.put(0, len(CONTENT))
        assert (answer.status_code, answer.json()["code"]) == (503, "vault-unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    assert await sender.offset() == len(CONTENT)
    assert (await sender.put(len(CONTENT), len(CONTENT))).status_code == 201
    assert kept(dependencies) == CONTENT


async def test_newer_request_takes_over_from_one_that_hangs(sender: Sender, dependencies: ApiDependencies) -> None:
    await sender.put(0, HALF)
    place = Place(host_id="id-web", case_id="inc-1", evidence_id=ITEM, name="ring.pcapng", size=len(CONTENT))
    hanging = dependencies.incoming.begin(place, HALF, "")
    assert isinstance(hanging, Part)
    dependencies.incoming.write(place, hanging, [b"foreign"])
    assert (await sender.put(HALF, HALF + 10)).status_code == 202
    with pytest.raises(VaultUnavailable, match="newer request"):
        dependencies.incoming.write(place, hanging, [b"foreign"])
    assert (await sender.put(HALF + 10, len(CONTENT))).status_code == 201
    assert kept(dependencies) == CONTENT


async def test_upload_that_nobody_went_on_with_is_swept(sender: Sender, dependencies: ApiDependencies) -> None:
    await sender.put(0, HALF)
    (spool,) = spools(dependencies)
    long_ago = time.time() - bounds.KEEP_SECONDS - 1
    os.utime(spool, (long_ago, long_ago))
    dependencies.incoming.sweep()
    assert spools(dependencies) == []
    assert await sender.offset() == 0


@pytest.mark.lab
async def test_disk_without_room_is_said_before_anything_comes(
    sender: Sender, dependencies: ApiDependencies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        place = dependencies.vault_place.model_copy(update={"directory": disk.folder / "vault"})
        object.__setattr__(dependencies, "vault_place", place)
        free = shutil.disk_usage(disk.folder).free
        monkeypatch.setattr(dependencies.incoming.room, "reserve_bytes", free - 1_000_000)
        promised = await sender.put(0, 10, size=700_000)
        full = await sender.put(0, 10, size=700_000, item=f"{OWN}packets-2")
        assert (promised.status_code, full.status_code) == (202, 503)
        assert "promised" in full.json()["detail"]
        disk.fill()
        broken = await sender.put(10, 700_000, size=700_000, body=bytes(699_990))
        assert (broken.status_code, broken.json()["code"]) == (503, "vault-unavailable")
        assert "No space left" in broken.json()["detail"]
        disk.make_room()
        assert (await sender.put(0, len(CONTENT))).status_code == 201
        assert kept(dependencies) == CONTENT
        dependencies.incoming.close()
