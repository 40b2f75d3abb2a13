"""A vault, a ledger and a registry with nothing faked between them; and a case that has been through everything."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities.contracts.custody import Authority, CaseVerdict, Registered, RegisterEvidence, VerifyCase
from activities.contracts.evidence import CollectedItem
from activities.evidence.register import EvidenceRegistry
from activities.evidence.sealing.signers import SealSigner
from activities.evidence.vault.local import LocalVault
from activities.ledger.ledger import Ledger
from segmentation.workloads import Workload
from tests.activities.evidence.items import CASE
from tests.activities.evidence.sealed import SealedCase, copied, lived_through, open_case
from tests.activities.evidence.tsa import StampingAuthority, serving

Register = Callable[..., Registered]


@pytest.fixture
def vault(tmp_path: Path) -> LocalVault:
    return LocalVault(tmp_path / "vault")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.db")
    yield opened
    opened.close()


@pytest.fixture
def registry(ledger: Ledger, vault: LocalVault) -> EvidenceRegistry:
    return EvidenceRegistry(ledger.custody, vault)


@pytest.fixture
def register(registry: EvidenceRegistry) -> Register:
    """Register items as the activity does; the environment stands for Temporal alone."""

    def run(*items: CollectedItem, attested: bool = True, owner: Workload | None = None) -> Registered:
        request = RegisterEvidence(
            incident_id=CASE,
            items=items,
            collector="agent:web",
            attested=attested,
            authority=Authority(plan_hash="sha256:" + "0" * 64),
            containment_state="isolated",
            owner=owner,
        )
        registered: Registered = ActivityEnvironment().run(registry.register_evidence, request)
        return registered

    return run


@pytest.fixture
def verify(registry: EvidenceRegistry) -> Callable[[], CaseVerdict]:
    request = VerifyCase(incident_id=CASE, actor="user:ada", purpose="test")
    return lambda: registry.verify_case(request)


@pytest.fixture(scope="module")
def authority() -> Iterator[StampingAuthority]:
    with serving(StampingAuthority()) as running:
        yield running


@pytest.fixture(scope="module")
def template(authority: StampingAuthority, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SealSigner]:
    """A case that has been through everything, and who sealed it."""
    path = tmp_path_factory.mktemp("template")
    case = lived_through(open_case(path, authority))
    case.ledger.close()
    return path, case.signer


@pytest.fixture
def sealed(authority: StampingAuthority, template: tuple[Path, SealSigner], tmp_path: Path) -> Iterator[SealedCase]:
    case = copied(template[0], tmp_path, authority, template[1])
    yield case
    case.ledger.close()


@pytest.fixture
def unstamped(tmp_path: Path) -> Iterator[SealedCase]:
    """An empty case; no authority is configured."""
    case = open_case(tmp_path)
    yield case
    case.ledger.close()
