import logging
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import structlog
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from activities.contracts.incident import GateStatus
from activities.evidence.vault.opening import VaultPlace
from activities.ledger.ledger import Ledger
from api.app import create_app
from api.dependencies import Advertised, ApiDependencies, Limits
from api.sources import Sources
from api.tokens import Tokens
from playbooks.gates import Gate, GateSpec, Role
from playbooks.host_isolation import LifelineEndpoint
from tests.activities.ledger.making import START, record
from tests.api.asking import Asking
from tests.api.temporal import FakeTemporal

PLAN_HASH = "sha256:" + "9c" * 32
SECRETS = ("whsec_" + "b25l" * 8, "whsec_" + "dHdv" * 8)


@pytest.fixture(scope="session")
def ledger_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    Ledger.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def ledger(ledger_template: Path, tmp_path: Path) -> Iterator[Ledger]:
    shutil.copy(ledger_template, tmp_path / "ledger.db")
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger
    ledger.close()


@pytest.fixture
def temporal() -> FakeTemporal:
    return FakeTemporal()


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def dependencies(ledger: Ledger, temporal: FakeTemporal, tmp_path: Path, woken: list[str]) -> ApiDependencies:
    sources = Sources(tmp_path)
    sources.add("siem", secret=SECRETS[0])
    return ApiDependencies(
        ledger=ledger,
        tokens=Tokens(tmp_path),
        sources=sources,
        temporal=temporal.connect,
        vault_place=VaultPlace(directory=tmp_path / "vault"),
        control_public_key=bytes(range(32)),
        advertised=Advertised(
            temporal_address="10.66.0.1:7233",
            temporal_namespace="default",
            api_url="http://10.66.0.1:8080",
            lifeline=(LifelineEndpoint.model_validate({"purpose": "api", "address": "10.66.0.1", "port": 8080}),),
        ),
        wake=lambda: woken.append("woken"),
        limits=Limits(update_seconds=0.2, evidence_bytes=1_000_000),
    )


@pytest.fixture(scope="session")
def made() -> list[FastAPI]:
    """The application, once made: its routes are the same for every test."""
    return []


@pytest.fixture
def application(made: list[FastAPI], dependencies: ApiDependencies) -> FastAPI:
    if not made:
        made.append(create_app(dependencies))
    made[0].state.dependencies = dependencies
    return made[0]


@pytest.fixture
async def http(application: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://firebreak") as client:
        yield client


@pytest.fixture
def served(application: FastAPI) -> Iterator[str]:
    """The API behind a real server on loopback; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(application, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        # In the product it is another process: what it logs must not end in the output that is read here. And
        # unconfigured, the log would draw every byte that a broken-off download had in hand.
        with structlog.testing.capture_logs():
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def asking(http: httpx.AsyncClient, dependencies: ApiDependencies) -> Asking:
    return Asking(http, dependencies)


@pytest.fixture
def bearer(dependencies: ApiDependencies) -> Callable[..., dict[str, str]]:
    """The header of a new token with these roles."""

    def make(*roles: Role, name: str = "") -> dict[str, str]:
        made = dependencies.tokens.create(name or f"some-{roles[0]}", roles)
        return {"Authorization": f"Bearer {made.token}"}

    return make


@pytest.fixture
def host_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """What a test configures ends with it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def gate(ledger: Ledger, temporal: FakeTemporal) -> Gate:
    """An incident that waits for one approver."""
    gate = Gate(
        gate_id="remediate-web",
        incident_id="inc-1",
        question="End the intruder's processes?",
        plan_hash=PLAN_HASH,
        plan=("kill process group 4711",),
        spec=GateSpec(quorum=2, roles=("approver",)),
        requested_by="workflow",
        opened_at=START,
    )
    status = GateStatus(gate=gate, workflow_id="incident-inc-1-remediate")
    ledger.incidents.record(record("inc-1", 1, "isolated", gates=(status,), stage="remediate"))
    temporal.gates[gate.gate_id] = gate
    temporal.running |= {"incident-inc-1", "incident-inc-1-remediate"}
    return gate
