"""Registering evidence: items become links of their case's chains, in the ledger and beside the bytes.

Owns the control side of a case: checking that the vault holds what a host says it sent, the manifests, the
custody events, and copies of both in the vault, so that an offline verifier needs the vault alone. Never
takes a host's word for what the vault holds.

    registry = EvidenceRegistry(ledger.custody, vault)
    Worker(..., activities=[registry.register_evidence, registry.verify_case])
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Protocol

from pydantic import BaseModel
from temporalio import activity

from activities.contracts.evidence import (
    CaseVerdict,
    CollectedItem,
    CustodyAction,
    CustodyEvent,
    Manifest,
    Outcome,
    Principal,
    Registered,
    RegisterEvidence,
    VerifyCase,
    WorkflowRef,
)
from activities.evidence import custody
from activities.evidence.errors import VaultMissing
from activities.evidence.vault.layout import GENESIS, HEAD_FILE, Folder, Head, case_folder, chained_name
from activities.evidence.vault.local import LocalVault
from activities.evidence.vault.writing import sha256_of
from activities.evidence.verify import verify_case_directory
from playbooks.canonical import canonical

CONTROL = "worker:control"


class CaseChains(Protocol):
    """What the ledger keeps of cases: two chains each, appended in order, idempotent by id."""

    def append_manifest(self, case_id: str, build: Callable[[int, str], Manifest]) -> Manifest:
        """Chain an item."""

    def manifests(self, case_id: str) -> Sequence[Manifest]:
        """The items in order."""

    def append_custody(self, case_id: str, build: Callable[[int, str], CustodyEvent]) -> CustodyEvent:
        """Chain an event."""

    def custody(self, case_id: str) -> Sequence[CustodyEvent]:
        """The events in order."""


class EvidenceRegistry:
    """Activities of the control worker; `record` serves the API too, where a read is an event."""

    def __init__(self, chains: CaseChains, vault: LocalVault) -> None:
        self._chains, self._vault = chains, vault

    @activity.defn(name="register_evidence")
    def register_evidence(self, request: RegisterEvidence) -> Registered:
        """Chain the items. An item that is chained already is no change."""
        for item in request.items:
            checked = self._as_kept(request.incident_id, item)
            self._chains.append_manifest(request.incident_id, _manifest(request, checked))
            self._record_arrival(request, checked)
        head = self.mirror(request.incident_id)
        return Registered(manifests=head.manifests, head=head.manifest_head)

    @activity.defn(name="verify_case")
    def verify_case(self, request: VerifyCase) -> CaseVerdict:
        """Recompute every hash in the vault, hold its head against the ledger, and note that it was done."""
        verdict = verify_case_directory(case_folder(self._vault.root, request.incident_id))
        noted = self._head(request.incident_id)
        if verdict.ok and self._known_head(request.incident_id) != noted:
            failure = f"head of {request.incident_id}: expected what the ledger holds, {_in_words(noted)}"
            verdict = verdict.model_copy(update={"ok": False, "first_failure": failure})
        purpose = f"{request.purpose}: {verdict.first_failure or f'{verdict.verified} items verified'}"
        if verdict.ok:
            self.record(request.incident_id, None, action="verify", actor=request.actor, purpose=purpose)
        else:
            # The vault stays as it was found: only the ledger is told.
            self._append(request.incident_id, None, action="verify", actor=request.actor, purpose=purpose)
        return verdict

    def record(
        self, case_id: str, evidence_id: str | None, *, action: CustodyAction, actor: str, purpose: str
    ) -> CustodyEvent:
        """Note one thing that happened to an item, or to the case as a whole."""
        noted = self._append(case_id, evidence_id, action=action, actor=actor, purpose=purpose)
        self.mirror(case_id)
        return noted

    def mirror(self, case_id: str) -> Head:
        """Write what the ledger holds of the case beside its bytes; what stands there already stays."""
        with self._vault.locked(case_id):
            for seq, manifest in enumerate(self._chains.manifests(case_id), start=1):
                self._keep(case_id, "manifests", chained_name(seq, manifest.item.evidence_id), manifest)
            for seq, noted in enumerate(self._chains.custody(case_id), start=1):
                self._keep(case_id, "custody", chained_name(seq, noted.event_id), noted)
            head = self._head(case_id)
            self._vault.put_head(head)
        return head

    def _append(
        self, case_id: str, evidence_id: str | None, *, action: CustodyAction, actor: str, purpose: str
    ) -> CustodyEvent:
        found = self._digest_in_vault(case_id, evidence_id) if evidence_id else None
        build = custody.event(
            case_id,
            evidence_id=evidence_id,
            action=action,
            actor=actor,
            at=datetime.now(UTC),
            purpose=purpose,
            hash_before=found,
            hash_after=found,
        )
        return self._chains.append_custody(case_id, build)

    def _as_kept(self, case_id: str, item: CollectedItem) -> CollectedItem:
        """The item with its outcome corrected where the vault does not hold what the host says."""
        if item.storage is None:
            return item
        found = self._digest_in_vault(case_id, item.evidence_id)
        if found is None:
            reason = "the host says it handed this over, the vault holds nothing"
            return item.model_copy(update={"storage": None, "outcome": Outcome(state="missing", reason=reason)})
        if found != item.sha256 or item.storage.checksum != found:
            reason = f"the vault holds sha256 {found}, the host says {item.sha256}"
            storage = item.storage.model_copy(update={"checksum": found})
            failed = Outcome(state="failed", reason=reason)
            return item.model_copy(update={"sha256": found, "storage": storage, "outcome": failed})
        return item

    def _record_arrival(self, request: RegisterEvidence, item: CollectedItem) -> None:
        case_id = request.incident_id
        self._chains.append_custody(case_id, custody.collected(case_id, item, actor=request.collector))
        if item.storage is not None:
            at, found = datetime.now(UTC), item.storage.checksum
            arrival = custody.transferred(case_id, item, actor=CONTROL, at=at, found=found)
            self._chains.append_custody(case_id, arrival)

    def _digest_in_vault(self, case_id: str, evidence_id: str) -> str | None:
        try:
            return sha256_of(self._vault.find(case_id, evidence_id))
        except VaultMissing:
            return None

    def _keep(self, case_id: str, folder: Folder, name: str, document: BaseModel) -> None:
        if not (self._vault.case(case_id) / folder / name).exists():
            self._vault.put_document(case_id, folder, name, canonical(document))

    def _head(self, case_id: str) -> Head:
        manifests, events = self._chains.manifests(case_id), self._chains.custody(case_id)
        return Head(
            case_id=case_id,
            manifests=len(manifests),
            manifest_head=sha256(canonical(manifests[-1])).hexdigest() if manifests else GENESIS,
            custody=len(events),
            custody_head=sha256(canonical(events[-1])).hexdigest() if events else GENESIS,
        )

    def _known_head(self, case_id: str) -> Head | None:
        path = case_folder(self._vault.root, case_id) / HEAD_FILE
        return Head.model_validate_json(path.read_bytes()) if path.exists() else None


def _in_words(head: Head) -> str:
    return f"{head.manifests} manifests and {head.custody} custody events"


def _manifest(request: RegisterEvidence, item: CollectedItem) -> Callable[[int, str], Manifest]:
    role = "agent" if request.attested else "agent, result not signed"

    def build(seq: int, prev_hash: str) -> Manifest:
        return Manifest(
            case_id=request.incident_id,
            seq=seq,
            prev_hash=prev_hash,
            item=item,
            collector=Principal(principal=request.collector, role=role),
            authority=request.authority,
            containment_state_at_capture=request.containment_state,
            workflow=_workflow(),
        )

    return build


def _workflow() -> WorkflowRef:
    info = activity.info()
    return WorkflowRef(
        workflow_id=info.workflow_id or "",
        run_id=info.workflow_run_id or "",
        activity_id=info.activity_id,
        attempt=info.attempt,
    )
