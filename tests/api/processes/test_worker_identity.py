"""Who a platform's worker is to the control plane, and what that lets it do."""

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from activities.evidence.receive import DIGEST_HEADER, RUNNING_DIGEST_HEADER, content_digest
from activities.evidence.vault.layout import host_prefix
from activities.host.signed import signed_headers
from activities.ledger.ledger import Ledger
from activities.orders.keys import public_bytes
from api.dependencies import ApiDependencies
from api.hosts import JoinBody
from api.processes import worker_identity
from api.processes.worker_identity import admit_workers, join_worker, key_of, who_is
from api.settings import TargetWorkerSettings, UpSettings
from tests.activities.ledger.making import record

CONTENT = b'{"schema": "firebreak/platform/1"}'


def node(state_dir: Path, **more: Any) -> UpSettings:
    return UpSettings(
        state_dir=state_dir, clusters={"lab": ""}, ledger_url=f"sqlite:///{state_dir / 'ledger.db'}", **more
    )


def test_a_node_admits_its_own_workers_once_and_for_all(tmp_path: Path) -> None:
    settings = node(tmp_path, aws_external_id="secret")
    for _ in range(2):
        admit_workers(settings)
    ledger = Ledger.open(settings.ledger)
    known = {workload.name: workload for workload in ledger.hosts.hosts().workloads}

    assert set(known) == {"worker-aws", "worker-kubernetes"}
    assert {workload.kind for workload in known.values()} == {"worker"}
    pinned = ledger.hosts.public_key(known["worker-aws"].workload_id)
    assert pinned == public_bytes(key_of(settings, "aws").public_key())
    ledger.close()


def test_a_worker_with_another_key_does_not_take_the_place_of_the_one_before(tmp_path: Path) -> None:
    settings = node(tmp_path)
    admit_workers(settings)
    before = who_is(settings, "kubernetes")
    (tmp_path / "worker-kubernetes.key").unlink()
    admit_workers(settings)  # says so and goes on: containing needs no vault
    ledger = Ledger.open(settings.ledger)

    assert [workload.workload_id for workload in ledger.hosts.hosts().workloads] == [before.workload_id]
    assert who_is(settings, "kubernetes").workload_id != before.workload_id
    ledger.close()


def test_no_alert_and_no_person_can_make_a_worker_a_target(tmp_path: Path) -> None:
    settings = node(tmp_path)
    admit_workers(settings)
    ledger = Ledger.open(settings.ledger)
    inventory = ledger.hosts.hosts()

    assert inventory.resolve(("worker-kubernetes",), ()) == ()
    assert inventory.witnesses_of(()) == ()
    ledger.close()


async def put(http: httpx.AsyncClient, settings: TargetWorkerSettings, item: str) -> httpx.Response:
    target = f"/v1/vault/inc-1/{item}?name=rbac.json&size={len(CONTENT)}&offset=0"
    digest = content_digest(hashlib.sha256(CONTENT).hexdigest())
    worker, key = who_is(settings, "kubernetes"), key_of(settings, "kubernetes")
    proof = {RUNNING_DIGEST_HEADER: digest}
    headers = signed_headers("PUT", target, proof, host_id=worker.workload_id, key=key)
    return await http.put(target, content=CONTENT, headers=headers | {DIGEST_HEADER: digest})


async def test_a_worker_hands_over_its_own_items_and_nobody_elses(
    http: httpx.AsyncClient, dependencies: ApiDependencies, tmp_path: Path
) -> None:
    settings = TargetWorkerSettings(state_dir=tmp_path / "worker")
    worker = who_is(settings, "kubernetes")
    dependencies.ledger.incidents.record(record("inc-1", 1, "isolated"))
    item = f"{host_prefix(worker.name, worker.workload_id)}web-1.rbac-00000000"
    assert (await put(http, settings, item)).status_code == 401, "it has not joined"

    public_key = public_bytes(key_of(settings, "kubernetes").public_key())
    dependencies.ledger.hosts.join(worker, public_key)

    assert (await put(http, settings, item)).status_code == 201
    assert (await put(http, settings, "web-id-web.ring-01")).status_code == 403
    assert b"".join(dependencies.vault.case("inc-1").read(item)) == CONTENT


def test_a_worker_elsewhere_joins_by_a_token(
    tmp_path: Path, dependencies: ApiDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TargetWorkerSettings(state_dir=tmp_path / "worker", worker_name="worker-eks")
    made = dependencies.ledger.join_tokens.create("eks", timedelta(hours=1))
    (tmp_path / "token").write_text(made.token)
    asked: list[tuple[str, str, dict[str, Any]]] = []
    monkeypatch.setattr(worker_identity, "post_join", lambda *said: asked.append(said))
    join_worker(settings, "kubernetes", tmp_path / "token")

    ((url, token, body),) = asked
    assert (url, token) == ("http://127.0.0.1:8080/v1/hosts/join", made.token)
    assert JoinBody.model_validate(body).workload.name == "worker-eks"
