"""Corroboration: an alert's words count for nothing that the SIEM does not hold."""

from datetime import timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from temporalio.testing import ActivityEnvironment

from activities.contracts.incident import CorroborateAlert, Corroboration
from activities.siem.client import siem_client
from activities.siem.corroborate import Corroborations
from playbooks.alerts import Alert, ReceivedAlert
from segmentation.workloads import Inventory, Workload
from tests.activities.siem.conftest import NOW, Deny

WEB = Workload.model_validate({"workload_id": "m-web", "name": "web", "addresses": ["10.77.0.11", "fd77::11"]})
APP = Workload.model_validate({"workload_id": "m-app", "name": "app", "addresses": ["10.77.0.12"]})


async def ask(siem: Elasticsearch | None, alert: dict[str, Any], *known: Workload) -> Corroboration:
    received = ReceivedAlert(
        webhook_id="w-1",
        source="generic",
        signed=False,
        received_at=NOW,
        alert=Alert.model_validate({"rule": {"name": "A rule"}} | alert),
    )
    corroborations = Corroborations(siem, lambda: Inventory(workloads=known))
    question = CorroborateAlert(incident_id="inc-1", received=received)
    return await ActivityEnvironment().run(corroborations.corroborate_alert, question)


FROM_WEB = {"source": {"ip": "10.77.0.11"}, "destination": {"ip": "10.77.0.13", "port": 5432}}


async def test_denials_that_the_siem_holds_corroborate_the_alert(siem: Elasticsearch, deny: Deny) -> None:
    deny(7, "10.77.0.11", "10.77.0.13")

    found = await ask(siem, FROM_WEB, WEB)

    assert (found.found, found.hits, found.reason) == (True, 7, "7 such denials.")
    assert '"source.ip": ["10.77.0.11"]' in found.query


async def test_denials_of_any_address_of_the_named_host_corroborate(siem: Elasticsearch, deny: Deny) -> None:
    deny(3, "fd77::11", "fd77::13")

    assert (await ask(siem, {"host": {"name": "web"}}, WEB)).found is True


@pytest.mark.parametrize(
    ("source", "destination", "port", "how"),
    [
        ("10.77.0.99", "10.77.0.13", 5432, {}),
        ("10.77.0.11", "10.77.0.99", 5432, {}),
        ("10.77.0.11", "10.77.0.13", 22, {}),
        ("10.77.0.11", "10.77.0.13", 5432, {"action": "allowed"}),
        ("10.77.0.11", "10.77.0.13", 5432, {"end": NOW - timedelta(seconds=901)}),
        ("10.77.0.11", "10.77.0.13", 5432, {"end": NOW + timedelta(seconds=120)}),
    ],
)
async def test_another_source_destination_port_verdict_or_time_does_not_corroborate(
    siem: Elasticsearch, deny: Deny, source: str, destination: str, port: int, how: dict[str, Any]
) -> None:
    deny(5, source, destination, port, **how)

    found = await ask(siem, FROM_WEB, WEB)

    assert (found.found, found.hits) == (False, 0)


async def test_an_alert_can_not_choose_its_own_time_or_verdict(siem: Elasticsearch, deny: Deny) -> None:
    deny(5, "10.77.0.11", "10.77.0.13", end=NOW - timedelta(days=1))
    deny(5, "10.77.0.11", "10.77.0.13", action="allowed")
    event = {"created": (NOW - timedelta(days=1)).isoformat(), "action": "allowed"}

    assert (await ask(siem, FROM_WEB | {"event": event}, WEB)).found is False


async def test_denials_of_one_host_do_not_accuse_another(siem: Elasticsearch, deny: Deny) -> None:
    deny(20, "10.77.0.11", "10.77.0.13")

    found = await ask(siem, {"host": {"name": "app"}, "source": {"ip": "10.77.0.11"}}, WEB, APP)

    assert found.found is False
    assert "not an address of the workload" in found.reason


async def test_every_accused_host_has_to_have_been_denied(siem: Elasticsearch, deny: Deny) -> None:
    both = {"host": {"ip": ["10.77.0.11", "10.77.0.12"]}}
    deny(5, "10.77.0.11", "10.77.0.13")
    alone = await ask(siem, both, WEB, APP)
    deny(5, "10.77.0.12", "10.77.0.13")

    assert (alone.found, "not every accused workload" in alone.reason) == (False, True)
    assert (await ask(siem, both, WEB, APP)).found is True


async def test_an_unknown_host_is_looked_up_by_the_addresses_that_the_alert_gives(
    siem: Elasticsearch, deny: Deny
) -> None:
    deny(5, "10.9.9.9", "10.77.0.13")

    assert (await ask(siem, {"host": {"ip": ["10.9.9.9"]}}, WEB)).found is True


async def test_cited_documents_have_to_be_among_the_denials(siem: Elasticsearch, deny: Deny) -> None:
    cited = deny(5, "10.77.0.11", "10.77.0.13")
    of_others = deny(5, "10.77.0.12", "10.77.0.13")

    real = await ask(siem, FROM_WEB | {"evidence_ids": [*cited[:2], "made-up"]}, WEB)
    stolen = await ask(siem, FROM_WEB | {"evidence_ids": of_others}, WEB)

    assert (real.found, real.reason) == (True, "5 such denials; 2 of the 3 cited documents are among them.")
    assert stolen.found is False


async def test_without_a_siem_nobody_could_be_asked() -> None:
    assert await ask(None, FROM_WEB, WEB) == Corroboration(found=None, reason="No SIEM is configured.")


async def test_a_siem_that_is_away_is_no_answer_either_way() -> None:
    with siem_client("http://127.0.0.1:9") as nobody:
        found = await ask(nobody, FROM_WEB, WEB)

    assert found.found is None
    assert found.reason.startswith("The SIEM could not be asked: ")


async def test_an_index_that_does_not_exist_is_no_answer_either_way(siem: Elasticsearch) -> None:
    assert (await ask(siem, FROM_WEB, WEB)).found is None


async def test_an_alert_without_any_address_can_not_be_looked_up(siem: Elasticsearch) -> None:
    found = await ask(siem, {"host": {"name": "nobody-knows"}}, WEB)

    assert (found.found, found.reason) == (None, "The alert names no address to look for.")
