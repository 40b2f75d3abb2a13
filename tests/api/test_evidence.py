import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from activities.contracts.evidence import Storage
from activities.evidence.receive import (
    DIGEST_HEADER,
    HOST_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    content_digest,
)
from activities.evidence.vault.layout import host_prefix
from activities.orders.keys import public_bytes
from api.dependencies import ApiDependencies
from tests.activities.ledger.making import record, workload
from tests.activities.ledger.test_custody import building, event
from tests.api.asking import Asking, agent_headers
from tests.api.keeping import stored_file

Bearer = Callable[..., dict[str, str]]
PACKETS = bytes(range(256)) * 1000
ITEM = f"{host_prefix(workload().name, workload().workload_id)}packets-1"
TARGET = f"/v1/vault/inc-1/{ITEM}?name=ring.pcapng"


@pytest.fixture
def case(dependencies: ApiDependencies, host_key: Ed25519PrivateKey) -> ApiDependencies:
    """An incident, and a host that may bring evidence."""
    dependencies.ledger.hosts.join(workload(), public_bytes(host_key.public_key()))
    dependencies.ledger.incidents.record(record("inc-1", 1, "isolated"))
    return dependencies


def register(case: ApiDependencies, storage: Storage, body: bytes = PACKETS) -> None:
    """Chain the item as the worker does."""

    def build(seq: int, prev_hash: str) -> object:
        manifest = building(ITEM)(seq, prev_hash)
        found = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body), "storage": storage}
        return manifest.model_copy(update={"item": manifest.item.model_copy(update=found)})

    case.ledger.custody.append_manifest("inc-1", build)  # type: ignore[arg-type]
    case.ledger.custody.append_custody("inc-1", event("collect", f"{ITEM}.collect", ITEM))
    case.evidence.mirror("inc-1")


@pytest.fixture
async def kept(http: httpx.AsyncClient, case: ApiDependencies, host_key: Ed25519PrivateKey) -> Path:
    """An item in the vault, chained; where its bytes are."""
    answer = await http.put(TARGET, content=PACKETS, headers=agent_headers(host_key, "PUT", TARGET, PACKETS))
    assert answer.status_code == 201, answer.text
    register(case, Storage.model_validate(answer.json()))
    return stored_file(case, ITEM)


def alter(kept: Path) -> None:
    kept.chmod(0o600)
    with kept.open("r+b") as file:
        file.write(b"\xff")


def content(kept: Path) -> bytes:
    return kept.read_bytes()


def glob(case: ApiDependencies, pattern: str) -> list[Path]:
    return list(case.vault_dir.glob(pattern))


async def test_an_item_that_an_agent_brought_is_read_as_it_came(
    http: httpx.AsyncClient, kept: Path, bearer: Bearer
) -> None:
    url = f"/v1/incidents/inc-1/evidence/{ITEM}?purpose=court+order+7"
    answer = await http.get(url, headers=bearer("responder"))
    assert answer.status_code == 200
    assert answer.content == PACKETS
    assert answer.headers["content-digest"] == content_digest(hashlib.sha256(PACKETS).hexdigest())
    assert answer.headers["content-disposition"] == 'attachment; filename="ring.pcapng"'
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_every_read_is_in_the_custody_chain_with_who_and_why(
    http: httpx.AsyncClient, kept: Path, bearer: Bearer
) -> None:
    who = bearer("responder", name="alice")
    for _ in range(2):
        await http.get(f"/v1/incidents/inc-1/evidence/{ITEM}?purpose=court+order+7", headers=who)
    case = (await http.get("/v1/incidents/inc-1/evidence", headers=who)).json()
    reads = [noted for noted in case["custody"] if noted["action"] == "access"]
    assert [(noted["actor"], noted["purpose"]) for noted in reads] == [("user:alice", "court order 7")] * 2
    assert {noted["hash_after"] for noted in reads} == {hashlib.sha256(PACKETS).hexdigest()}


async def test_nothing_is_read_without_a_purpose(http: httpx.AsyncClient, kept: Path, bearer: Bearer) -> None:
    answer = await http.get(f"/v1/incidents/inc-1/evidence/{ITEM}", headers=bearer("responder"))
    assert answer.status_code == 422


async def test_a_case_that_nobody_touched_verifies(http: httpx.AsyncClient, kept: Path, bearer: Bearer) -> None:
    answer = await http.get("/v1/incidents/inc-1/evidence/verification", headers=bearer("responder"))
    assert answer.json()["ok"], answer.json()
    assert answer.json()["verified"] == 1


async def test_bytes_that_were_altered_are_found_and_not_handed_out(
    http: httpx.AsyncClient, kept: Path, bearer: Bearer
) -> None:
    alter(kept)
    who = bearer("responder")
    verdict = (await http.get("/v1/incidents/inc-1/evidence/verification", headers=who)).json()
    assert not verdict["ok"]
    assert ITEM in verdict["first_failure"]
    answer = await http.get(f"/v1/incidents/inc-1/evidence/{ITEM}?purpose=look", headers=who)
    assert (answer.status_code, answer.json()["code"]) == (409, "evidence-altered")


async def test_an_upload_again_is_no_change_and_other_bytes_are_refused(
    http: httpx.AsyncClient, kept: Path, host_key: Ed25519PrivateKey
) -> None:
    again = await http.put(TARGET, content=PACKETS, headers=agent_headers(host_key, "PUT", TARGET, PACKETS))
    other = await http.put(TARGET, content=b"other", headers=agent_headers(host_key, "PUT", TARGET, b"other"))
    assert again.status_code == 201
    assert (other.status_code, other.json()["code"]) == (409, "vault-conflict")
    assert content(kept) == PACKETS


async def test_bytes_that_are_not_what_was_announced_are_not_kept(
    http: httpx.AsyncClient, case: ApiDependencies, host_key: Ed25519PrivateKey
) -> None:
    answer = await http.put(TARGET, content=PACKETS[:-1], headers=agent_headers(host_key, "PUT", TARGET, PACKETS))
    assert (answer.status_code, answer.json()["code"]) == (422, "vault-mismatch")
    assert glob(case, "case/*/artefacts/packets*") == []


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h | {HOST_HEADER: "id-app"},
        lambda h: {k: v for k, v in h.items() if k != HOST_HEADER},
        lambda h: h | {TIMESTAMP_HEADER: str(int(h[TIMESTAMP_HEADER]) + 1)},
        lambda h: h | {SIGNATURE_HEADER: "AAAA"},
        lambda h: {k: v for k, v in h.items() if k != SIGNATURE_HEADER},
        lambda h: h | {DIGEST_HEADER: content_digest("00" * 32)},
        lambda h: {k: v for k, v in h.items() if k != DIGEST_HEADER},
    ],
)
async def test_an_upload_that_its_host_did_not_sign_is_refused_and_counted(
    asking: Asking,
    case: ApiDependencies,
    host_key: Ed25519PrivateKey,
    change: Callable[[dict[str, str]], dict[str, str]],
) -> None:
    headers = change(agent_headers(host_key, "PUT", TARGET, PACKETS))
    answer = await asking.http.put(TARGET, content=PACKETS, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "upload-refused")
    assert asking.refusals() == {("(agents)", "upload-refused"): 1}


@pytest.mark.parametrize(
    "target",
    ["/v1/vault/inc-1/web-id-web.packets-2?name=ring.pcapng", f"/v1/vault/inc-1/{ITEM}?name=other"],
)
async def test_a_signature_is_good_for_one_place(
    http: httpx.AsyncClient, case: ApiDependencies, host_key: Ed25519PrivateKey, target: str
) -> None:
    headers = agent_headers(host_key, "PUT", TARGET, PACKETS)
    assert (await http.put(target, content=PACKETS, headers=headers)).status_code == 401


@pytest.mark.parametrize("age", [301, -330])
async def test_a_stale_upload_is_refused(
    http: httpx.AsyncClient, case: ApiDependencies, host_key: Ed25519PrivateKey, age: int
) -> None:
    headers = agent_headers(host_key, "PUT", TARGET, PACKETS, age=age)
    assert (await http.put(TARGET, content=PACKETS, headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (f"/v1/vault/inc-2/{ITEM}?name=ring.pcapng", 404),
        (f"/v1/vault/inc-1/{ITEM}?name=..%2Fring", 422),
        (f"/v1/vault/inc-1/{ITEM}?name=.ring", 422),
        (f"/v1/vault/inc-1/{ITEM}", 422),
        ("/v1/vault/inc-1/-?name=ring", 422),
    ],
)
async def test_an_upload_to_a_place_that_can_not_be_is_refused(
    http: httpx.AsyncClient, case: ApiDependencies, host_key: Ed25519PrivateKey, target: str, status: int
) -> None:
    headers = agent_headers(host_key, "PUT", target, PACKETS)
    assert (await http.put(target, content=PACKETS, headers=headers)).status_code == status


async def test_a_host_can_not_take_the_place_of_anothers_evidence(
    http: httpx.AsyncClient, case: ApiDependencies, host_key: Ed25519PrivateKey
) -> None:
    target = "/v1/vault/inc-1/db-id-db.sockets?name=sockets.json"
    answer = await http.put(target, content=PACKETS, headers=agent_headers(host_key, "PUT", target, PACKETS))
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_an_upload_without_an_end_stops_at_the_cap(
    http: httpx.AsyncClient, case: ApiDependencies, host_key: Ed25519PrivateKey
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(65_536)

    answer = await http.put(TARGET, content=endless(), headers=agent_headers(host_key, "PUT", TARGET, PACKETS))
    assert (answer.status_code, answer.json()["code"]) == (413, "upload-too-large")
    assert glob(case, "spool/*") == []


async def test_the_report_is_shown_under_a_policy_that_runs_nothing(
    http: httpx.AsyncClient, case: ApiDependencies, bearer: Bearer
) -> None:
    uri = case.vault.put_document("inc-1", "documents", "report.html", b"<!doctype html><title>Report</title>")
    case.ledger.incidents.record(record("inc-1", 2, report_uri=uri))
    answer = await http.get("/v1/incidents/inc-1/report", headers=bearer("viewer"))
    assert answer.text == "<!doctype html><title>Report</title>"
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


@pytest.mark.parametrize("uri", ["", "file:///etc/passwd", "https://elsewhere/report.html", "file:../../etc/passwd"])
async def test_only_a_report_in_the_vault_is_shown(
    http: httpx.AsyncClient, case: ApiDependencies, bearer: Bearer, uri: str
) -> None:
    case.ledger.incidents.record(record("inc-1", 2, report_uri=uri))
    answer = await http.get("/v1/incidents/inc-1/report", headers=bearer("viewer"))
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
