"""What keeps targets from being contained without people, as the dispatcher finds it before an incident starts."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from activities.contracts.incident import IncidentStart
from activities.ledger.intake import PendingBatch
from activities.ledger.ledger import Ledger
from activities.orders.codec import control_converter
from api.processes.describe import Describer
from api.processes.dispatcher import CONTROL_QUEUE
from api.processes.rehearsal import rehearse
from api.processes.restraints import Restrainer
from api.processes.sandbox import workflow_runner
from api.processes.worker import WORKFLOWS, control_activities
from api.settings import WorkerSettings, load
from playbooks.playbook import Playbook
from playbooks.safeguards import Limits, Protected, Safeguards
from segmentation.workloads import Workload
from tests.activities.ledger.making import START, alert, received
from tests.histories.keys import CONTROL, SEAL, public_host_key
from tests.workflows.servers import development_server

TWO = Safeguards(limits=Limits(per_hour=2))


def playbook(**contain: Any) -> Playbook:
    return Playbook.model_validate({"name": "p", "title": "P", "match": {"rules": ["*"]}, "contain": contain})


def describer(ledger: Ledger, safeguards: Safeguards = TWO, **contain: Any) -> Describer:
    catalog = [playbook(**contain)]
    restrainer = Restrainer(ledger, safeguards)
    return Describer(ledger.hosts.hosts, catalog, (), restrainer, log_group=None, siem_configured=False)


def join(ledger: Ledger, *names: str, **labels: str) -> None:
    for name in names:
        host = Workload.model_validate({"workload_id": f"id-{name}", "name": name, "labels": labels})
        ledger.hosts.join(host, name.encode().ljust(32))


def batch(host: str, **changed: Any) -> PendingBatch:
    plain = PendingBatch(
        incident_id=f"inc-{host}",
        correlation_key=f"workload:id-{host}",
        count=1,
        first=received(alert(host)),
        last_received_at=START,
        outbox_ids=(1,),
        new=True,
    )
    return plain.model_copy(update=changed)


def start(ledger: Ledger, host: str, describe: Describer | None = None, **changed: Any) -> IncidentStart:
    return (describe or describer(ledger))(batch(host, **changed))


def test_without_safeguards_and_stop_nothing_restrains_and_the_start_reads_as_ever(ledger: Ledger) -> None:
    join(ledger, "web")
    found = start(ledger, "web", describer(ledger, Safeguards()))

    assert found.targets
    assert not {"restraints", "safeguards"} & set(found.model_dump(mode="json"))


def test_a_limit_holds_across_incidents_and_names_itself(ledger: Ledger) -> None:
    join(ledger, "web", "app", "db")
    found = [start(ledger, host).restraints for host in ("web", "app", "db")]

    assert found[:2] == [{}, {}]
    assert found[2] == {"id-db": "db would be automatic containment 3 within an hour, more than the limit of 2"}


def test_an_incident_that_is_described_again_keeps_its_place_and_takes_no_second(ledger: Ledger) -> None:
    join(ledger, "web", "app", "db")
    for _ in range(3):
        assert start(ledger, "web").restraints == {}
    assert start(ledger, "app").restraints == {}
    assert start(ledger, "db").restraints
    assert start(ledger, "web").restraints == {}


def test_more_alerts_of_an_incident_that_runs_take_no_place(ledger: Ledger) -> None:
    join(ledger, "web", "app", "db")
    start(ledger, "web", new=False)
    start(ledger, "app", new=False)
    assert start(ledger, "db").restraints == {}
    assert start(ledger, "web").restraints == {}


def test_what_people_decide_anyway_takes_no_place(ledger: Ledger) -> None:
    join(ledger, "web", "app", "db")
    gated = describer(ledger, gate={"roles": ["approver"]})
    guarded = describer(ledger, TWO.model_copy(update={"protected": Protected(names=("app",))}))
    assert start(ledger, "web", gated).restraints == {}
    assert start(ledger, "app", guarded).restraints == {}
    assert start(ledger, "db").restraints == start(ledger, "web").restraints == {}
    assert start(ledger, "app").restraints


def test_what_silence_would_contain_takes_its_place(ledger: Ledger) -> None:
    join(ledger, "web", "app", "db")
    lenient = describer(ledger, gate={"roles": ["approver"], "on_deadline": "proceed"})
    start(ledger, "web", lenient)
    start(ledger, "app", lenient)
    assert start(ledger, "db").restraints
    assert start(ledger, "db", lenient).restraints


def test_a_group_is_never_contained_beyond_its_percentage(ledger: Ledger) -> None:
    join(ledger, "web", "app", "db", "mail", app="shop")
    join(ledger, "dns", app="names")
    half = Safeguards(limits=Limits(percent_of_group_per_hour=50))
    found = {host: start(ledger, host, describer(ledger, half)).restraints for host in ("web", "app", "db", "dns")}

    assert found["web"] == found["app"] == {}
    assert found["db"]["id-db"].startswith("with db 3 of 4 targets of app=shop would be contained automatically")
    assert found["dns"]["id-dns"].startswith("with dns 1 of 1 targets of app=names")


def test_under_the_global_stop_every_target_is_restrained_and_takes_no_place(ledger: Ledger) -> None:
    join(ledger, "web", "app")
    ledger.stop.set(actor="user:ana", reason="the SIEM errs", now=START)
    found = [start(ledger, host).restraints for host in ("web", "app")]
    assert found == [
        {f"id-{host}": "the global stop is on since 2026-03-04 05:06:07 UTC by user:ana: the SIEM errs"}
        for host in ("web", "app")
    ]

    ledger.stop.lift(actor="user:root", reason="repaired")
    assert start(ledger, "web").restraints == start(ledger, "app").restraints == {}


def test_who_is_not_known_or_not_answered_is_not_counted(ledger: Ledger) -> None:
    join(ledger, "web")
    assert start(ledger, "ghost").restraints == {}
    nobody = Describer(ledger.hosts.hosts, [], (), Restrainer(ledger, TWO), log_group=None, siem_configured=False)
    assert start(ledger, "web", nobody).restraints == {}
    assert reserved(ledger) == []


def test_the_sites_protection_travels_with_the_start(ledger: Ledger) -> None:
    join(ledger, "web")
    site = Safeguards(protected=Protected(labels={"role": ("dns",)}))
    found = start(ledger, "web", describer(ledger, site))
    assert IncidentStart.model_validate_json(found.model_dump_json()).safeguards == site


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    with development_server(tmp_path) as address:
        yield address


async def test_a_rehearsal_takes_nobodys_place(ledger: Ledger, engine: str, tmp_path: Path) -> None:
    client = await Client.connect(engine, data_converter=control_converter(SEAL, CONTROL, public_host_key))
    settings = load(WorkerSettings, None, state_dir=tmp_path)
    with ThreadPoolExecutor(2) as executor:
        async with Worker(
            client,
            task_queue=CONTROL_QUEUE,
            workflows=WORKFLOWS,
            activities=control_activities(settings, ledger, None),
            activity_executor=executor,
            workflow_runner=workflow_runner(),
            build_id="tests",
        ):
            await rehearse(client, [playbook()])
    assert reserved(ledger) == []


def reserved(ledger: Ledger) -> list[str]:
    with ledger._database.read() as connection:
        return list(connection.exec_driver_sql("select target_id from containments").scalars())
