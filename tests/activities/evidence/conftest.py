"""A vault, a ledger and a registry with nothing faked between them."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities.contracts.evidence import (
    Acquisition,
    Authority,
    CaseVerdict,
    CollectedItem,
    Outcome,
    Registered,
    RegisterEvidence,
    Source,
    VerifyCase,
)
from activities.evidence.register import EvidenceRegistry
from activities.evidence.vault.local import LocalVault
from activities.ledger.ledger import Ledger
from segmentation.workloads import Workload

CASE = "inc-1"
AT = datetime(2031, 5, 1, 12, 0, tzinfo=UTC)
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


def make_item(vault: LocalVault, label: str, content: bytes = b"") -> CollectedItem:
    """An item whose bytes are in the vault, as a host hands it over."""
    content = content or label.encode() * 100
    digest = hashlib.sha256(content).hexdigest()
    name = f"{label}.json"
    storage = vault.put_stream(CASE, f"web-1.{label}", name, [content], sha256=digest, size=len(content))
    return CollectedItem(
        evidence_id=f"web-1.{label}",
        kind="volatile",
        name=name,
        media_type="application/json",
        size=len(content),
        sha256=digest,
        outcome=Outcome(state="collected"),
        source=Source(resource_id="9f2c", host="web"),
        acquisition=Acquisition(tool="test", started=AT, ended=AT, clock_offset_ms=0.25),
        volatility_rank=1,
        storage=storage,
    )


def absent_item(label: str) -> CollectedItem:
    """An item of which only the reason of its absence is there."""
    return CollectedItem(
        evidence_id=f"web-1.{label}",
        kind="volatile",
        name=f"{label}.json",
        media_type="application/json",
        outcome=Outcome(state="failed", reason="no such command"),
        source=Source(resource_id="9f2c", host="web"),
        acquisition=Acquisition(tool="test", started=AT, ended=AT),
        volatility_rank=2,
    )
