"""Artefacts as an agent hands them over: complete manifests about bytes that nobody wrote."""

from datetime import UTC, datetime
from hashlib import sha256

from activities.contracts.evidence import Acquisition, CollectedItem, EvidenceKind, Outcome, Source
from activities.contracts.orders import Order
from segmentation.workloads import Workload

RANKS: dict[EvidenceKind, int] = {"packets": 2, "ebpf-events": 2, "volatile": 1, "report": 9}


def artefact(host: Workload, order: Order, name: str, kind: EvidenceKind) -> CollectedItem:
    """One collected item of a host."""
    now = datetime.now(UTC)
    incident = order.header.incident_id
    return CollectedItem(
        evidence_id=f"{incident}.{host.workload_id}.{name}",
        kind=kind,
        name=f"{name}.json",
        media_type="application/json",
        size=len(name),
        sha256=sha256(name.encode()).hexdigest(),
        outcome=Outcome(state="collected"),
        source=Source(resource_id=host.workload_id, host=host.name),
        acquisition=Acquisition(tool="fake", started=now, ended=now),
        volatility_rank=RANKS[kind],
    )
