"""What collects from a platform in the tests, and a vault that refuses other bytes under a known id."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from activities.contracts.evidence import CollectedItem, Storage
from activities.contracts.platform_evidence import CollectPlatformOrder, PlatformCollected
from activities.evidence.errors import VaultConflict, VaultUnavailable
from activities.evidence.platforms.collect import OpenEvidence, PlatformEvidence
from activities.evidence.vault.layout import host_prefix
from segmentation.workloads import Workload

WORKER = Workload(workload_id="3f9ac0de00112233", kind="worker", name="worker-tests")
PREFIX = host_prefix(WORKER.name, WORKER.workload_id)


class Kept:
    """Write-once, in memory."""

    def __init__(self) -> None:
        self.artefacts: dict[str, bytes] = {}
        self.is_away = False

    def upload(self, incident_id: str, evidence_id: str, name: str, path: Path, sha256: str = "") -> Storage:
        if self.is_away:
            raise VaultUnavailable("The vault does not answer.")
        content = path.read_bytes()
        if self.artefacts.setdefault(evidence_id, content) != content:
            raise VaultConflict(f"{evidence_id} is kept with other bytes.")
        return Storage(uri=f"memory:{incident_id}/{evidence_id}/{name}", checksum=sha256)

    def document(self, item: CollectedItem) -> Any:
        return json.loads(self.artefacts[item.evidence_id])


def order(target: Workload, *, budget_seconds: int = 20, **collectors: Any) -> CollectPlatformOrder:
    since = datetime.now(UTC) - timedelta(hours=1)
    return CollectPlatformOrder(
        incident_id="inc-1", target=target, since=since, budget_seconds=budget_seconds, **collectors
    )


def evidence(opening: OpenEvidence, kept: Kept, folder: Path) -> PlatformEvidence:
    return PlatformEvidence(opening, WORKER, kept, folder)


def by_label(collected: PlatformCollected) -> dict[str, CollectedItem]:
    """Items by the label in their ids: between the target's name and the mark."""
    return {item.name.rpartition(".")[0]: item for item in collected.items}
