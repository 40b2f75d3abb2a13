import json
import logging
from collections.abc import AsyncIterator
from typing import Any, Literal

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from api import examples
from api.dependencies import ApiDependencies
from api.logging import configure, drop_secrets
from playbooks.alerts import ReceivedAlert
from tests.api.asking import Asking
from tests.api.temporal import FakeTemporal


async def test_healthz_says_that_the_process_runs(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).json() == {"status": "ok"}


async def test_readyz_names_what_is_away(http: httpx.AsyncClient, temporal: FakeTemporal) -> None:
    assert (await http.get("/readyz")).status_code == 200
    temporal.down = True
    answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ledger": "ok", "temporal": "away"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/<script>", 404), ("PATCH", "/v1/hosts", 405), ("GET", "/docs", 404)],
)
async def test_what_has_no_route_is_a_problem(http: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await http.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert "<script>" not in answer.text


async def test_every_answer_carries_the_headers_that_keep_browsers_out(http: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/nowhere"):
        headers = (await http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_a_defect_is_a_problem_that_tells_a_stranger_nothing(
    asking: Asking,
    dependencies: ApiDependencies,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    restored_logging: None,
    log_format: Literal["json", "console"],
) -> None:
    def broken(received: ReceivedAlert) -> None:
        raise RuntimeError(received.source)

    configure(log_format)

    # No request makes the ledger fail like a defect of ours would.
    monkeypatch.setattr(dependencies.ledger.intake, "accept", broken)
    answer = await asking.alert({"rule": {"name": "a-local-variable"}})
    logged = capsys.readouterr().err
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    assert "RuntimeError" not in answer.text
    assert "RuntimeError" in logged
    assert "a-local-variable" not in logged


async def test_a_body_without_an_end_is_cut_off_before_anybody_is_asked_who_they_are(
    http: httpx.AsyncClient,
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 16_384
            yield b" " * 16_384

    answer = await http.post("/v1/hosts/join", content=endless(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert sent < 200_000


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"workload": \xff}', b"{"])
async def test_a_body_that_is_no_json_is_a_problem(http: httpx.AsyncClient, body: bytes) -> None:
    answer = await http.post("/v1/hosts/join", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_ledger_that_is_away_is_a_problem_that_says_try_again(
    asking: Asking, dependencies: ApiDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: ReceivedAlert) -> None:
        raise OperationalError("insert", {}, ConnectionError("gone"))

    # A SQLite file can't be made to fail for the time of one request.
    monkeypatch.setattr(dependencies.ledger.intake, "accept", away)
    answer = await asking.alert()
    assert (answer.status_code, answer.json()["code"]) == (503, "ledger-away")


async def test_the_openapi_document_has_an_example_for_every_body(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    missing = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content is not None and "example" not in content and "example" not in _schema(document, content):
                missing.append(f"{method} {path}")
    assert missing == []
    assert any(operation.get("requestBody") for item in document["paths"].values() for operation in item.values())


async def test_the_openapi_document_says_which_problems_an_operation_has(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    for path, item in document["paths"].items():
        for operation in item.values():
            if path not in {"/healthz", "/readyz"}:
                assert any(status.startswith("4") for status in operation["responses"]), path
            assert operation["summary"]


def _schema(document: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    name = content["schema"].get("$ref", "").rpartition("/")[2]
    schema: dict[str, Any] = document["components"]["schemas"].get(name, content["schema"])
    return schema


async def test_the_example_of_an_alert_is_accepted(asking: Asking) -> None:
    assert (await asking.alert(examples.ALERT)).status_code == 202


def test_secrets_are_dropped_from_logs_at_any_depth() -> None:
    event = {
        "event": "joined",
        "Authorization": "Bearer fb_abc",
        "webhook_secret": "whsec_x",
        "request": {"headers": {"webhook-signature": "v1,x"}, "hosts": [{"api_key": "k", "name": "web"}]},
        "url": "postgresql://fb:hunter2@db/ledger",
        "incident_id": "inc-1",
    }
    cleaned = drop_secrets(None, "info", event)
    text = json.dumps(cleaned)
    for secret in ("fb_abc", "whsec_x", "v1,x", "hunter2", '"k"'):
        assert secret not in text
    assert cleaned["incident_id"] == "inc-1"
    assert cleaned["request"]["hosts"][0]["name"] == "web"


async def test_logs_are_json_with_the_incidents_id(
    http: httpx.AsyncClient, capsys: pytest.CaptureFixture[str], restored_logging: None
) -> None:
    configure("json", "info")
    await http.get("/v1/incidents/inc-7", headers={"Authorization": "Bearer fb_secret"})
    logging.getLogger("uvicorn.error").info("from the standard library: %s", "hello")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    request, foreign = lines[-2], lines[-1]
    assert (request["incident_id"], request["path"], request["status"]) == (
        "inc-7",
        "/v1/incidents/{incident_id}",
        401,
    )
    assert foreign["event"] == "from the standard library: hello"
    assert "fb_secret" not in json.dumps(lines)
