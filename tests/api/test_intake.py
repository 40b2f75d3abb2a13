import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.dependencies import ApiDependencies
from api.examples import ALERT
from api.rates import RateCap
from tests.api.asking import Asking
from tests.api.conftest import SECRETS
from tests.api.temporal import FakeTemporal

MARKER = "<script>alert(1)</script>"


def assert_nothing_was_written(dependencies: ApiDependencies) -> None:
    assert dependencies.ledger.intake.pending() == []
    assert dependencies.ledger.incidents.incidents().items == ()
    assert dependencies.ledger.audit.verify().events == 0


def assert_is_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["status"], answer.json()["code"]) == (status, status, code)
    assert answer.json()["type"] == f"urn:firebreak:problem:{code}"
    assert answer.json()["detail"]
    assert "script" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_signed_alert_is_committed_when_it_is_answered(asking: Asking, woken: list[str]) -> None:
    answer = await asking.alert()
    (batch,) = asking.dependencies.ledger.intake.pending()
    assert answer.status_code == 202
    assert answer.json() == {"incident_id": batch.incident_id, "status": "accepted", "alerts": 1}
    assert batch.first.signed
    assert batch.first.alert.rule.name == ALERT["rule"]["name"]
    assert woken == ["woken"]


async def test_an_alert_is_taken_while_temporal_is_away(asking: Asking, temporal: FakeTemporal) -> None:
    temporal.down = True
    assert (await asking.alert()).status_code == 202


async def test_the_same_webhook_id_twice_is_already_known(asking: Asking, woken: list[str]) -> None:
    first, again = await asking.alert(webhook_id="msg_a"), await asking.alert(webhook_id="msg_a")
    assert again.status_code == 202
    assert again.json() == {
        "incident_id": first.json()["incident_id"],
        "status": "already-known",
        "alerts": 1,
    }
    assert woken == ["woken"]


async def test_a_thousand_copies_are_one_incident_that_counted_them(asking: Asking) -> None:
    answers: list[httpx.Response] = []
    for _ in range(50):
        answers += await asyncio.gather(*(asking.alert() for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["incident_id"] for answer in answers}) == 1
    assert max(answer.json()["alerts"] for answer in answers) == 1000
    (batch,) = asking.dependencies.ledger.intake.pending()
    assert batch.count == 1000


def nested(depth: int) -> bytes:
    return b'{"rule":{"name":"r"},"deep":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"


BODIES: dict[str, tuple[bytes, int, str]] = {
    "oversized": (b'{"rule":{"name":"' + b"x" * 300_000 + b'"}}', 413, "body-too-large"),
    "deeply nested": (nested(40), 400, "nested-too-deep"),
    "absurdly nested": (b"[" * 100_000, 400, "nested-too-deep"),
    "not UTF-8": (b'{"rule":{"name":"\xff\xfe"}}', 400, "not-utf-8"),
    "not JSON": (b'{"rule": ' + MARKER.encode(), 400, "body-unreadable"),
    "a lone surrogate": (b'{"rule":{"name":"\\ud800"}}', 400, "body-unreadable"),
    "not a number": (b'{"rule":{"name":"r"},"event":{"severity":NaN}}', 400, "body-unreadable"),
    "an array": (b"[1]", 422, "body-invalid"),
    "empty": (b"", 400, "body-unreadable"),
    "without a rule": (b'{"message":"' + MARKER.encode() + b'"}', 422, "body-invalid"),
    "too severe": (b'{"rule":{"name":"r"},"event":{"severity":101}}', 422, "body-invalid"),
    "no address": (b'{"rule":{"name":"r"},"source":{"ip":"' + MARKER.encode() + b'"}}', 422, "body-invalid"),
}


@pytest.mark.parametrize("case", BODIES)
async def test_a_bad_body_is_refused_and_leaves_its_count_alone(asking: Asking, case: str) -> None:
    body, status, code = BODIES[case]
    headers = asking.sign(body) if case != "not UTF-8" else asking.sign(b"x")
    assert_is_problem(await asking.post(body, headers), status, code)
    assert asking.refusals() == {("siem", code): 1}
    assert_nothing_was_written(asking.dependencies)


def without(name: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda headers: {key: value for key, value in headers.items() if key != name}


def with_header(name: str, value: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda headers: headers | {name: value}


SIGNATURES: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "no id": without("webhook-id"),
    "no time": without("webhook-timestamp"),
    "no signature": without("webhook-signature"),
    "another id": with_header("webhook-id", "msg_other"),
    "another time": with_header("webhook-timestamp", "1700000000"),
    "a time that is none": with_header("webhook-timestamp", "nan"),
    "an endless time": with_header("webhook-timestamp", "1e999"),
    "another signature": with_header("webhook-signature", "v1," + "A" * 43 + "="),
    "no version": with_header("webhook-signature", MARKER),
    "no base64": with_header("webhook-signature", "v1,*"),
    "another version": with_header("webhook-signature", "v2,AAAA"),
}


@pytest.mark.parametrize("case", SIGNATURES)
async def test_a_message_that_proves_nothing_is_refused(asking: Asking, case: str) -> None:
    body = json.dumps(ALERT).encode()
    answer = await asking.post(body, SIGNATURES[case](asking.sign(body)))
    assert_is_problem(answer, 401, "signature-refused")
    assert asking.refusals() == {("siem", "signature-refused"): 1}
    assert_nothing_was_written(asking.dependencies)


async def test_a_body_that_was_changed_after_signing_is_refused(asking: Asking) -> None:
    answer = await asking.post(b'{"rule":{"name":"another"}}', asking.sign(b'{"rule":{"name":"r"}}'))
    assert_is_problem(answer, 401, "signature-refused")


@pytest.mark.parametrize("minutes", [6, -6])
async def test_a_stale_message_is_refused_in_both_directions(asking: Asking, minutes: int) -> None:
    assert_is_problem(await asking.alert(age=timedelta(minutes=minutes)), 401, "signature-refused")
    assert (await asking.alert(age=timedelta(minutes=minutes * 4 / 6))).status_code == 202


async def test_an_unknown_source_is_counted_under_a_name_that_is_ours(asking: Asking) -> None:
    body = json.dumps(ALERT).encode()
    for source in ("nobody", "%3Cscript%3E", "x" * 5000):
        assert_is_problem(await asking.post(body, asking.sign(body), source=source), 404, "source-unknown")
    assert asking.refusals() == {("(unknown)", "source-unknown"): 3}


async def test_a_body_that_lies_about_its_length_is_cut_off_at_the_cap(asking: Asking) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    headers = asking.sign(b"{}")
    answer = await asking.http.post("/v1/alerts/siem", content=endless(), headers=headers)
    assert_is_problem(answer, 413, "body-too-large")
    assert sent < 1_000_000


@pytest.mark.parametrize("media_type", ["text/html", "application/x-www-form-urlencoded", ";"])
async def test_what_is_announced_as_something_else_is_refused(asking: Asking, media_type: str) -> None:
    body = json.dumps(ALERT).encode()
    answer = await asking.post(body, asking.sign(body) | {"Content-Type": media_type})
    assert_is_problem(answer, 415, "media-type-refused")


async def test_a_new_secret_counts_beside_the_old_one_until_the_next_rotation(asking: Asking) -> None:
    body = json.dumps(ALERT).encode()
    old = asking.sign(body)
    asking.dependencies.sources.rotate("siem")
    assert asking.secret != SECRETS[0]
    assert (await asking.alert()).status_code == 202
    assert (await asking.post(body, old)).status_code == 202
    asking.dependencies.sources.rotate("siem")
    assert_is_problem(await asking.post(body, old | {"webhook-id": "msg_b"}), 401, "signature-refused")


async def test_a_source_that_can_not_sign_sends_its_token(asking: Asking) -> None:
    token = asking.dependencies.sources.add("legacy", signed=False).secret
    body = json.dumps(ALERT).encode()
    accepted = await asking.post(body, {"Authorization": f"Bearer {token}"}, source="legacy")
    assert accepted.json()["status"] == "accepted"
    assert asking.dependencies.ledger.intake.pending()[0].first.signed is False
    again = await asking.post(body, {"Authorization": f"Bearer {token}"}, source="legacy")
    assert again.json()["status"] == "already-known"


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Basic dXNlcjpwYXNz"])
async def test_a_source_without_its_token_is_refused(asking: Asking, authorization: str) -> None:
    asking.dependencies.sources.add("legacy", signed=False)
    headers = {"Authorization": authorization} if authorization else {}
    assert_is_problem(await asking.post(b"{}", headers, source="legacy"), 401, "signature-refused")


async def test_a_webhook_id_of_endless_length_is_refused(asking: Asking) -> None:
    assert_is_problem(await asking.alert(webhook_id="m" * 257), 400, "webhook-id-invalid")


@pytest.fixture
def slow_source(tmp_path: Path) -> None:
    """The source may send two alerts, and one more every hundred seconds."""
    path = tmp_path / "sources.json"
    document = json.loads(path.read_text())
    document["sources"][0] |= {"burst": 2, "rate_per_second": 0.01}
    path.write_text(json.dumps(document))


async def test_a_source_that_sends_too_much_is_told_when_to_send_again(asking: Asking, slow_source: None) -> None:
    assert [(await asking.alert()).status_code for _ in range(2)] == [202, 202]
    answer = await asking.alert()
    assert_is_problem(answer, 429, "rate-exceeded")
    assert 90 <= int(answer.headers["retry-after"]) <= 100
    assert asking.refusals() == {("siem", "rate-exceeded"): 1}


async def test_a_stranger_does_not_use_up_what_a_source_may_send(asking: Asking, slow_source: None) -> None:
    for _ in range(5):
        await asking.post(b"{}", {})
    assert (await asking.alert()).status_code == 202


def test_a_bucket_gives_a_burst_and_then_its_rate() -> None:
    now = 100.0
    cap = RateCap(clock=lambda: now)
    assert [cap.take("siem", 2, 3) for _ in range(4)] == [0, 0, 0, 0.5]
    now += 0.5
    assert cap.take("siem", 2, 3) == 0
    assert cap.take("siem", 2, 3) == 0.5
    assert cap.take("other", 2, 3) == 0


async def test_refusals_that_come_together_are_all_counted(asking: Asking) -> None:
    await asyncio.gather(*(asking.post(b"{}", {}) for _ in range(40)))
    assert asking.refusals() == {("siem", "signature-refused"): 40}


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"event.severity": "high", "rule.name": "r"}, "/event.severity"),
        ({"event": {"severity": "high"}, "rule": {"name": "r"}}, "/event/severity"),
        ({"kibana.alert": {"risk_score": 400}, "rule.name": "r"}, "/kibana.alert/risk_score"),
        ({"rule": {}}, "/rule"),
        ({"rule.name": "r", "host": {"ip": ["10.0.0.1", "x"]}}, "/host/ip/1"),
        ({"rule.name": ["a", "b"]}, "/rule.name"),
    ],
)
async def test_an_error_points_at_the_senders_own_field(asking: Asking, document: Any, pointer: str) -> None:
    answer = await asking.alert(document)
    assert_is_problem(answer, 422, "body-invalid")
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
