"""Registering evidence: items become links of their case's chains, in the ledger and beside the bytes.

Owns the control side of a case: checking that the vault holds what a host says it sent, the manifests, the
custody events, and copies of both in the vault, so that an offline verifier needs the vault alone. Never
takes a host's word for what the vault holds.

    registry = EvidenceRegistry(ledger.custody, vault)
    Worker(..., activities=[registry.register_evidence, registry.verify_case])
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Protocol

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
    Retention,
    VerifyCase,
    WorkflowRef,
)
from activities.evidence import custody
from activities.evidence.contents import read_case
from activities.evidence.errors import VaultMissing
from activities.evidence.holds import holds_of
from activities.evidence.sealing.trust import Trust
from activities.evidence.vault.interface import CaseReader, Vault
from activities.evidence.vault.layout import GENESIS, Folder, Head, chained_name
from activities.evidence.verify import judge_case
from playbooks.canonical import canonical
from playbooks.forensics import RetentionSpec

CONTROL = "worker:control"
HEARTBEAT_SECONDS = 5.0


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
    """Activities of the control worker; `record` serves the API too, where a read is an event.

    `trust` tells which keys seals may have; of none, those that lie beside them are taken, and named.
    """

    def __init__(self, chains: CaseChains, vault: Vault, trust: Callable[[], Trust] = Trust) -> None:
        self._chains, self._vault, self._trust = chains, vault, trust

    @activity.defn(name="register_evidence")
    def register_evidence(self, request: RegisterEvidence) -> Registered:
        """Chain the items. An item that is chained already is no change."""
        case_id = request.incident_id
        held = holds_of(self._chains.custody(case_id))
        for item in request.items:
            checked = self._as_kept(request, item)
            if checked.storage is not None and held.holds(item.evidence_id):
                self._vault.hold(case_id, item.evidence_id, on=True)
            self._chains.append_manifest(case_id, _manifest(request, checked))
            self._record_arrival(request, checked)
        head = self.mirror(case_id)
        return Registered(manifests=head.manifests, head=head.manifest_head)

    @activity.defn(name="verify_case")
    def verify_case(self, request: VerifyCase) -> CaseVerdict:
        """Recompute every hash in the vault, hold its head against the ledger, and note that it was done."""
        case_id = request.incident_id
        reader = self._vault.case(case_id)
        with self._vault.locked(case_id):
            contents, noted = read_case(reader), self._head(case_id)
        verdict = judge_case(reader, contents, case_id, self._trust(), progress=_heartbeat())
        if verdict.ok and contents.head != noted:
            failure = f"head of {case_id}: expected what the ledger holds, {_in_words(noted)}"
            verdict = verdict.model_copy(update={"ok": False, "first_failure": failure})
        purpose = f"{request.purpose}: {verdict.first_failure or f'{verdict.verified} items verified'}"
        if verdict.ok:
            self.record(case_id, None, action="verify", actor=request.actor, purpose=purpose)
        else:
            # The vault stays as it was found: only the ledger is told.
            self._append(case_id, None, action="verify", actor=request.actor, purpose=purpose)
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
            return self.mirror_locked(case_id)

    def mirror_locked(self, case_id: str) -> Head:
        """The same for who holds the case's lock."""
        reader = self._vault.case(case_id)
        manifests, events = self._chains.manifests(case_id), self._chains.custody(case_id)
        self._keep(case_id, reader, "manifests", [(m.item.evidence_id, m) for m in manifests])
        self._keep(case_id, reader, "custody", [(event.event_id, event) for event in events])
        head = head_of(case_id, manifests, events)
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

    def _as_kept(self, request: RegisterEvidence, item: CollectedItem) -> CollectedItem:
        """The item as the vault has it, with its outcome corrected where that is not what the host says."""
        if item.storage is None:
            return item
        found = self._digest_in_vault(request.incident_id, item.evidence_id)
        if found is None:
            reason = "the host says it handed this over, the vault holds nothing"
            return item.model_copy(update={"storage": None, "outcome": Outcome(state="missing", reason=reason)})
        retention = retention_of(request.retention, item, sealed=False)
        storage = self._vault.retain(request.incident_id, item.evidence_id, retention)
        if found == item.sha256:
            return item.model_copy(update={"storage": storage})
        kept = self._vault.find(request.incident_id, item.evidence_id)
        reason = f"the vault holds sha256 {found}, the host says {item.sha256}"
        update = {"sha256": found, "size": kept.size, "outcome": Outcome(state="failed", reason=reason)}
        return item.model_copy(update=update | {"storage": storage})

    def _record_arrival(self, request: RegisterEvidence, item: CollectedItem) -> None:
        case_id = request.incident_id
        self._chains.append_custody(case_id, custody.collected(case_id, item, actor=request.collector))
        if item.storage is not None and item.sha256 is not None:
            arrival = custody.transferred(case_id, item, actor=CONTROL, at=datetime.now(UTC), found=item.sha256)
            self._chains.append_custody(case_id, arrival)

    def _digest_in_vault(self, case_id: str, evidence_id: str) -> str | None:
        digest, beat = sha256(), _heartbeat()
        try:
            for chunk in self._vault.case(case_id).read(evidence_id):
                digest.update(chunk)
                beat(0, 0)
        except VaultMissing:
            return None
        return digest.hexdigest()

    def _keep(
        self, case_id: str, reader: CaseReader, folder: Folder, links: Sequence[tuple[str, Manifest | CustodyEvent]]
    ) -> None:
        known = set(reader.documents(folder))
        for seq, (key, link) in enumerate(links, start=1):
            if (name := chained_name(seq, key)) not in known:
                self._vault.put_document(case_id, folder, name, canonical(link))

    def _head(self, case_id: str) -> Head:
        return head_of(case_id, self._chains.manifests(case_id), self._chains.custody(case_id))


def head_of(case_id: str, manifests: Sequence[Manifest], events: Sequence[CustodyEvent]) -> Head:
    """How long the chains are and where they end."""
    return Head(
        case_id=case_id,
        manifests=len(manifests),
        manifest_head=sha256(canonical(manifests[-1])).hexdigest() if manifests else GENESIS,
        custody=len(events),
        custody_head=sha256(canonical(events[-1])).hexdigest() if events else GENESIS,
    )


def retention_of(spec: RetentionSpec, item: CollectedItem, *, sealed: bool) -> Retention:
    """How long an item is kept at least: counted from when it was collected."""
    mode = spec.sealed_mode if sealed else spec.mode
    return Retention(mode=mode, until=item.acquisition.ended + timedelta(days=spec.days))


def _heartbeat() -> Callable[[int, int], None]:
    """Tells Temporal that a long read goes on; nobody, where it is not read for an activity."""
    last = 0.0

    def beat(done: int, total: int) -> None:
        nonlocal last
        if activity.in_activity() and time.monotonic() - last > HEARTBEAT_SECONDS:
            last = time.monotonic()
            activity.heartbeat(done, total)

    return beat


def _in_words(head: Head) -> str:
    return f"{head.manifests} manifests and {head.custody} custody events"


def _manifest(request: RegisterEvidence, item: CollectedItem) -> Callable[[int, str], Manifest]:
    # `agent:web`, `worker:aws`, or the workflow itself where nothing could be collected.
    who = request.collector.partition(":")[0]
    role = who if request.attested else f"{who}, result not signed"

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
            tlp=request.tlp,
            retention=request.retention,
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
