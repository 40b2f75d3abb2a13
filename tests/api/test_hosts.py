import json
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from activities.ledger.ledger import Ledger
from activities.orders.keys import public_bytes
from api.examples import JOIN_TOKEN, ORDER_REFUSAL
from tests.activities.ledger.making import workload
from tests.api.asking import Asking, agent_headers

Bearer = Callable[..., dict[str, str]]


def join_body(key: Ed25519PrivateKey, name: str = "web") -> dict[str, Any]:
    public_key = b64encode(public_bytes(key.public_key())).decode()
    return {
        "workload": workload(name, addresses=("10.66.0.2",)).model_dump(mode="json"),
        "public_key": public_key,
    }


def token(ledger: Ledger) -> dict[str, str]:
    return {"Authorization": f"Bearer {ledger.join_tokens.create('rack-7', timedelta(hours=1)).token}"}


async def test_a_host_that_joins_learns_what_it_needs(
    http: httpx.AsyncClient, ledger: Ledger, host_key: Ed25519PrivateKey
) -> None:
    answer = await http.post("/v1/hosts/join", json=join_body(host_key), headers=token(ledger))
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "host_id": "id-web",
        "queue": "host.id-web",
        "control_public_key": b64encode(bytes(range(32))).decode(),
        "temporal": {"address": "10.66.0.1:7233", "namespace": "default"},
        "siem_url": "",
        "api_url": "http://10.66.0.1:8080",
        "lifeline": [{"purpose": "api", "address": "10.66.0.1", "port": 8080, "protocol": "tcp"}],
    }
    assert ledger.hosts.public_key("id-web") == public_bytes(host_key.public_key())
    assert ledger.audit.verify().events == 1


async def test_a_join_token_lets_one_host_in(
    http: httpx.AsyncClient, ledger: Ledger, host_key: Ed25519PrivateKey
) -> None:
    once = token(ledger)
    await http.post("/v1/hosts/join", json=join_body(host_key), headers=once)
    answer = await http.post("/v1/hosts/join", json=join_body(Ed25519PrivateKey.generate(), "app"), headers=once)
    assert (answer.status_code, answer.json()["code"]) == (401, "join-token-refused")


async def test_a_known_host_with_another_key_is_refused(
    http: httpx.AsyncClient, ledger: Ledger, host_key: Ed25519PrivateKey
) -> None:
    await http.post("/v1/hosts/join", json=join_body(host_key), headers=token(ledger))
    answer = await http.post("/v1/hosts/join", json=join_body(Ed25519PrivateKey.generate()), headers=token(ledger))
    assert (answer.status_code, answer.json()["code"]) == (409, "host-key-conflict")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer fbjoin_invented"}])
async def test_nobody_joins_without_a_token(
    http: httpx.AsyncClient, ledger: Ledger, host_key: Ed25519PrivateKey, headers: dict[str, str]
) -> None:
    assert (await http.post("/v1/hosts/join", json=join_body(host_key), headers=headers)).status_code == 401
    assert ledger.hosts.hosts().workloads == ()


@pytest.mark.parametrize("key", ["", "AAAA", "not base64!", "A" * 1000])
async def test_a_key_that_is_none_is_refused(
    http: httpx.AsyncClient, ledger: Ledger, host_key: Ed25519PrivateKey, key: str
) -> None:
    body = join_body(host_key) | {"public_key": key}
    answer = await http.post("/v1/hosts/join", json=body, headers=token(ledger))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/body/public_key")


async def test_an_administrator_makes_join_tokens_and_forgets_hosts(
    http: httpx.AsyncClient, ledger: Ledger, host_key: Ed25519PrivateKey, bearer: Bearer
) -> None:
    admin = bearer("admin", name="root")
    made = await http.post("/v1/join-tokens", json=JOIN_TOKEN, headers=admin)
    assert made.status_code == 201
    joining = {"Authorization": f"Bearer {made.json()['token']}"}
    assert (await http.post("/v1/hosts/join", json=join_body(host_key), headers=joining)).status_code == 200
    assert [entry["workload"]["name"] for entry in (await http.get("/v1/hosts", headers=admin)).json()] == ["web"]
    assert (await http.delete("/v1/hosts/id-web", headers=admin)).status_code == 204
    assert (await http.delete("/v1/hosts/id-web", headers=admin)).status_code == 404
    assert (await http.get("/v1/audit/verification", headers=admin)).json()["events"] == 3


async def test_a_refused_order_is_counted_and_audited(
    asking: Asking, ledger: Ledger, host_key: Ed25519PrivateKey
) -> None:
    ledger.hosts.join(workload(), public_bytes(host_key.public_key()))
    target, body = "/v1/hosts/id-web/refusals", json.dumps(ORDER_REFUSAL).encode()
    answer = await asking.http.post(target, content=body, headers=agent_headers(host_key, "POST", target, body))
    assert answer.status_code == 201, answer.text
    assert asking.refusals() == {("agent:id-web", "order-refused"): 1}
    assert ledger.audit.verify().head == answer.json()["hash"]
    assert ledger.hosts.entries()[0].last_seen is not None


async def test_an_agent_speaks_for_its_own_host_alone(
    http: httpx.AsyncClient, ledger: Ledger, host_key: Ed25519PrivateKey
) -> None:
    ledger.hosts.join(workload(), public_bytes(host_key.public_key()))
    target, body = "/v1/hosts/id-app/refusals", json.dumps(ORDER_REFUSAL).encode()
    answer = await http.post(target, content=body, headers=agent_headers(host_key, "POST", target, body))
    assert answer.status_code == 403
    assert ledger.audit.verify().events == 0


@pytest.mark.parametrize("body", [b"", b"[]", b'{"order_id":"a"}', b'{"order_id":"a","reason":"b","more":1}', b"\xff"])
async def test_a_report_of_another_form_is_refused(
    http: httpx.AsyncClient, ledger: Ledger, host_key: Ed25519PrivateKey, body: bytes
) -> None:
    ledger.hosts.join(workload(), public_bytes(host_key.public_key()))
    target = "/v1/hosts/id-web/refusals"
    answer = await http.post(target, content=body, headers=agent_headers(host_key, "POST", target, body))
    assert (answer.status_code, answer.json()["code"]) == (422, "body-invalid")


async def test_a_body_that_the_signature_does_not_cover_is_refused(
    http: httpx.AsyncClient, ledger: Ledger, host_key: Ed25519PrivateKey
) -> None:
    ledger.hosts.join(workload(), public_bytes(host_key.public_key()))
    target = "/v1/hosts/id-web/refusals"
    headers = agent_headers(host_key, "POST", target, b"{}")
    assert (await http.post(target, content=b'{"order_id":"a","reason":"b"}', headers=headers)).status_code == 422
