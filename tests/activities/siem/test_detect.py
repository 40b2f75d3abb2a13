"""Detections: what is in the SIEM becomes signed messages to the intake, each of them once."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch
from osmem_server import OsmemServer
from temporalio.testing import ActivityEnvironment

from activities.contracts.siem import DetectionsRun, RunDetections
from activities.siem.client import siem_client
from activities.siem.detect import Detections, DetectionsFailed
from playbooks.alerts import Alert
from playbooks.detection import Detection
from playbooks.loading import load_detections
from tests.activities.siem.conftest import NOW, Deny
from tests.activities.siem.receiver import SECRET, Receiver, receiving

(REPEATED,) = load_detections(Path(__file__).parents[3] / "playbooks" / "detections")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


async def run(
    siem: Elasticsearch,
    receiver: Receiver,
    *,
    late: int = 0,
    detection: Detection = REPEATED,
    secret: str = SECRET,
) -> DetectionsRun:
    detections = Detections(siem, receiver.url, secret, (detection,))
    order = RunDetections(at=NOW + timedelta(seconds=late))
    return await ActivityEnvironment().run(detections.run_detections, order)


def alerts(receiver: Receiver) -> list[Alert]:
    return [Alert.model_validate_json(body) for _, body in receiver.messages]


async def test_a_source_that_is_denied_again_and_again_is_told_of(
    siem: Elasticsearch, deny: Deny, receiver: Receiver
) -> None:
    ids = deny(25, "10.77.0.11", "10.77.0.13")

    result = await run(siem, receiver)

    (alert,) = alerts(receiver)
    assert alert.rule.name == "Repeated denied connections"
    assert [str(ip) for ip in alert.host.ip] == ["10.77.0.11"]
    assert str(alert.source.ip) == "10.77.0.11"
    assert (str(alert.destination.ip), alert.destination.port) == ("10.77.0.13", 5432)
    assert [technique.id for technique in alert.threat.technique] == ["T1021"]
    assert alert.event.severity == 73
    assert alert.event.created == NOW - timedelta(seconds=1)
    assert len(alert.evidence_ids) == 20
    assert set(alert.evidence_ids) <= set(ids)
    assert alert.message == (
        "10.77.0.11 was denied 25 times on its way to 10.77.0.13 port 5432 by db, "
        "from 11:59:56.600 UTC to 11:59:59.000 UTC"
    )
    assert [(f.count, f.answer, f.webhook_id) for f in result.findings] == [(25, "accepted", receiver.messages[0][0])]


async def test_ipv6_denials_are_found_as_well(siem: Elasticsearch, deny: Deny, receiver: Receiver) -> None:
    deny(12, "fd77::11", "fd77::13")

    await run(siem, receiver)

    assert [str(alert.source.ip) for alert in alerts(receiver)] == ["fd77::11"]


async def test_what_is_rare_old_allowed_or_spread_out_is_no_finding(
    siem: Elasticsearch, deny: Deny, receiver: Receiver
) -> None:
    deny(9, "10.77.0.11", "10.77.0.13")
    deny(30, "10.77.0.12", "10.77.0.13", end=NOW - timedelta(seconds=61))
    deny(30, "10.77.0.14", "10.77.0.13", action="allowed")
    for host in range(1, 6):
        deny(4, "10.77.0.15", f"10.77.1.{host}")

    result = await run(siem, receiver)

    assert result == DetectionsRun()
    assert receiver.messages == []


async def test_a_repeated_run_sends_messages_that_the_intake_recognises(
    siem: Elasticsearch, deny: Deny, receiver: Receiver
) -> None:
    deny(15, "10.77.0.11", "10.77.0.13")

    first = await run(siem, receiver)
    deny(15, "10.77.0.11", "10.77.0.13")
    second = await run(siem, receiver)

    assert [finding.answer for finding in first.findings] == ["accepted"]
    assert [finding.answer for finding in second.findings] == ["known"]
    assert len(receiver.messages) == 1


async def test_a_finding_that_lasts_is_news_again_a_minute_later_under_the_same_fingerprint(
    siem: Elasticsearch, deny: Deny, receiver: Receiver
) -> None:
    deny(15, "10.77.0.11", "10.77.0.13")
    await run(siem, receiver)
    await run(siem, receiver, late=30)
    deny(15, "10.77.0.11", "10.77.0.13", end=NOW + timedelta(seconds=65))
    await run(siem, receiver, late=70)

    earlier, later = alerts(receiver)
    assert earlier.fingerprint == later.fingerprint
    assert earlier.event.id != later.event.id


async def test_a_scan_of_ports_names_no_single_port(siem: Elasticsearch, deny: Deny, receiver: Receiver) -> None:
    for port in (22, 443, 5432):
        deny(5, "10.77.0.11", "10.77.0.13", port)

    await run(siem, receiver)

    (alert,) = alerts(receiver)
    assert alert.destination.port is None
    assert "port 22, 443, 5432" in (alert.message or "")


async def test_the_strongest_finding_is_sent_first(siem: Elasticsearch, deny: Deny, receiver: Receiver) -> None:
    deny(11, "10.77.0.11", "10.77.0.13")
    deny(30, "10.77.0.12", "10.77.0.13")
    deny(20, "10.77.0.11", "10.77.0.14")

    result = await run(siem, receiver)

    assert [finding.count for finding in result.findings] == [30, 20, 11]


async def test_the_intake_that_refuses_the_signature_fails_the_run_and_is_named(
    siem: Elasticsearch, deny: Deny, receiver: Receiver
) -> None:
    deny(15, "10.77.0.11", "10.77.0.13")

    with pytest.raises(DetectionsFailed, match=r"was not taken: 127\.0\.0\.1 answered 401") as caught:
        await run(siem, receiver, secret="whsec_b3RoZXJvdGhlcm90aGVyb3RoZXI=")

    assert receiver.refused == 1
    assert "whsec" not in str(caught.value)


async def test_one_message_that_fails_does_not_hold_back_the_others_and_is_sent_by_the_retry(
    siem: Elasticsearch, deny: Deny, receiver: Receiver
) -> None:
    deny(30, "10.77.0.12", "10.77.0.13")
    deny(20, "10.77.0.11", "10.77.0.13")
    receiver.answers = [503]

    with pytest.raises(DetectionsFailed, match="answered 503") as caught:
        await run(siem, receiver)
    retry = await run(siem, receiver)

    assert caught.value.retryable
    assert [(f.count, f.answer) for f in retry.findings] == [(30, "accepted"), (20, "known")]


async def test_an_intake_that_is_away_fails_the_run(siem: Elasticsearch, deny: Deny) -> None:
    deny(15, "10.77.0.11", "10.77.0.13")
    with receiving() as gone:
        pass

    with pytest.raises(DetectionsFailed, match="is not reachable"):
        await run(siem, gone)


async def test_a_siem_that_is_away_fails_the_run_and_is_named(receiver: Receiver) -> None:
    with (
        siem_client("http://127.0.0.1:9") as nobody,
        pytest.raises(DetectionsFailed, match="repeated-denials could not query firebreak-flows") as caught,
    ):
        await run(nobody, receiver)

    assert caught.value.retryable


async def test_an_index_that_no_flow_was_shipped_to_is_said_to_be_missing(
    siem: Elasticsearch, receiver: Receiver
) -> None:
    assert await run(siem, receiver) == DetectionsRun(without_index=("repeated-denials",))


async def test_an_index_that_was_made_without_our_template_is_a_problem_and_not_an_empty_answer(
    siem_server: OsmemServer, receiver: Receiver
) -> None:
    detection = REPEATED.model_copy(update={"index": "foreign"})
    with siem_server.clone() as clone, siem_client(clone.url) as siem:
        siem.index(index="foreign", document={"source": {"ip": "10.0.0.1"}}, refresh=True)
        with pytest.raises(DetectionsFailed, match="could not query foreign"):
            await run(siem, receiver, detection=detection)
