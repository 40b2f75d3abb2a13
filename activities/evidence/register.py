"""Registering evidence: items become links of their case's chains, in the ledger and beside the bytes.

Owns the control side of a case: checking that the vault holds what a host says it sent, the manifests, the
custody events, and copies of both in the vault, so that an offline verifier needs the vault alone. Never
takes a host's word for what the vault holds.

    registry = EvidenceRegistry(ledger.custody, vault)
    Worker(..., activities=[registry.register_evidence, registry.verify_case])
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.contracts.custody import (
    CaseVerdict,
    CustodyAction,
    CustodyEvent,
    Registered,
    RegisterEvidence,
    VerifyCase,
)
from activities.contracts.evidence import CollectedItem, Outcome, Retention, Storage
from activities.evidence import custody
from activities.evidence.agreement import agree
from activities.evidence.errors import VaultDenied, VaultKeyRefused, VaultUnavailable
from activities.evidence.holds import StandingHolds, holds_of
from activities.evidence.manifests import is_known, is_own, late_id, manifest_of
from activities.evidence.mirroring import CaseChains, mirror
from activities.evidence.reading_back import digest_in, heartbeat, read_back
from activities.evidence.sealing.trust import Trust
from activities.evidence.vault.interface import Vault
from activities.evidence.vault.layout import Head
from activities.evidence.verify import judge_case
from activities.ledger.errors import ChainConflict
from playbooks.forensics import RetentionSpec
from segmentation.bounds import cut
from segmentation.errors import FirebreakError

CONTROL = "worker:control"
# No honest clock is that far behind when what was collected is registered.
_OLDEST = timedelta(days=2)


class EvidenceRegistry:
    """Activities of the control worker; `record` serves the API too, where a read is an event.

    `trust` tells which keys seals may have; of none, those that lie beside them are taken, and named.
    """

    def __init__(self, chains: CaseChains, vault: Vault, trust: Callable[[], Trust] = Trust) -> None:
        self._chains, self._vault, self._trust = chains, vault, trust

    @activity.defn(name="register_evidence")
    def register_evidence(self, request: RegisterEvidence) -> Registered:
        """Chain the items, each whatever becomes of its neighbours. One that is chained already is no change."""
        case_id = request.incident_id
        known = {manifest.item.evidence_id: manifest.item for manifest in self._chains.manifests(case_id)}
        held = holds_of(self._chains.custody(case_id))
        refused = tuple(item.evidence_id for item in request.items if not is_own(request, item))
        problems = [f"{evidence_id} is no item of {request.collector}: not chained" for evidence_id in refused]
        for item in request.items:
            if is_own(request, item):
                there = known.get(item.evidence_id)
                checked = there if there and is_known(there, item) else self._as_kept(request, item, held)
                with self._vault.locked(case_id):
                    conflict = self._chain(request, checked)
                    self.mirror_locked(case_id)
                if conflict is not None:
                    problems.append(self._chain_late(request, checked, held, conflict))
        self._hold_since(case_id, held)
        head = self.mirror(case_id)
        return Registered(manifests=head.manifests, head=head.manifest_head, refused=refused, problems=tuple(problems))

    @activity.defn(name="verify_case")
    def verify_case(self, request: VerifyCase) -> CaseVerdict:
        """Recompute every hash in the vault, hold its chains against the ledger's, and note it: a late copy follows."""
        case_id, reader = request.incident_id, self._vault.case(request.incident_id)
        agreed = agree(self._chains, self._vault, case_id)
        verdict = agreed.told(judge_case(reader, agreed.contents, case_id, self._trust(), progress=heartbeat()))
        purpose = f"{request.purpose}: {verdict.first_failure or f'{verdict.verified} items verified'}"
        if not verdict.ok:
            self.tell_ledger(case_id, action="verify", actor=request.actor, purpose=purpose)
            return agreed.warned(verdict)
        build = custody.event(
            case_id, evidence_id=None, action="verify", actor=request.actor, at=datetime.now(UTC), purpose=purpose
        )
        return agreed.warned(verdict, left=0 if self._tell_all_the_same(case_id, build) else agreed.behind + 1)

    def record(
        self, case_id: str, evidence_id: str | None, *, action: CustodyAction, actor: str, purpose: str
    ) -> CustodyEvent:
        """Note one thing that happened to an item, or to the case as a whole."""
        found = digest_in(self._vault, case_id, evidence_id) if evidence_id else None
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
        return self.tell(case_id, build)

    def tell(self, case_id: str, build: custody.Build) -> CustodyEvent:
        """Chain an event and copy it beside the bytes, so that nobody who reads the case sees the one alone."""
        with self._vault.locked(case_id):
            noted = self._chains.append_custody(case_id, build)
            self.mirror_locked(case_id)
        return noted

    def _tell_all_the_same(self, case_id: str, build: custody.Build) -> bool:
        """Chain an event even where the vault is away; whether it was copied."""
        with self._vault.locked(case_id):
            self._chains.append_custody(case_id, build)
            try:
                self.mirror_locked(case_id)
            except VaultUnavailable:
                return False
        return True

    def tell_ledger(self, case_id: str, *, action: CustodyAction, actor: str, purpose: str) -> None:
        """Note that something does not hold; the vault stays as it was found."""
        build = custody.ledger_alone(case_id, action=action, actor=actor, purpose=purpose)
        self._chains.append_custody(case_id, build)

    def mirror(self, case_id: str) -> Head:
        """Write what the ledger holds of the case beside its bytes; what stands there already stays."""
        with self._vault.locked(case_id):
            return self.mirror_locked(case_id)

    def mirror_locked(self, case_id: str) -> Head:
        """The same for who holds the case's lock."""
        return mirror(self._chains, self._vault, case_id)

    def _hold_since(self, case_id: str, before: StandingHolds) -> None:
        """Hold what a hold was set on while it was being chained: who set it could not find it yet."""
        standing = holds_of(self._chains.custody(case_id))
        if standing == before:
            return
        for manifest in self._chains.manifests(case_id):
            if manifest.item.storage is not None and standing.holds(manifest.item.evidence_id):
                self._vault.hold(case_id, manifest.item.evidence_id, on=True)

    def _chain(self, request: RegisterEvidence, item: CollectedItem) -> ChainConflict | None:
        """Chain one item, unless its id tells of something else already."""
        try:
            self._chains.append_manifest(request.incident_id, manifest_of(request, item))
        except ChainConflict as conflict:
            return conflict
        self._record_arrival(request, item)
        return None

    def _chain_late(
        self, request: RegisterEvidence, item: CollectedItem, held: StandingHolds, conflict: ChainConflict
    ) -> str:
        """Chain bytes that came after a manifest had said that there are none, under an id of their own.

        They are copied before the case is locked: that takes as long as they are large.
        """
        case_id, late = request.incident_id, late_id(item.evidence_id)
        there = {manifest.item.evidence_id: manifest.item for manifest in self._chains.manifests(case_id)}
        if item.storage is None or item.sha256 is None or there[item.evidence_id].storage is not None:
            return conflict.summary
        chunks = read_back(self._vault, case_id, item.evidence_id)
        try:
            self._vault.put_stream(case_id, late, item.name, chunks, sha256=item.sha256, size=item.size)
            copy = item.model_copy(
                update={"evidence_id": late, "storage": self._keep_as_asked(request, late, item, held)}
            )
            with self._vault.locked(case_id):
                self._chains.append_manifest(case_id, manifest_of(request, copy, (item.evidence_id,)))
                self._record_arrival(request, copy)
                self.mirror_locked(case_id)
        except FirebreakError as error:
            _raise_what_passes(error)
            return error.summary
        return f"{item.evidence_id} came after its manifest: it is chained as {late}"

    def _as_kept(self, request: RegisterEvidence, item: CollectedItem, held: StandingHolds) -> CollectedItem:
        """The item as the vault has it, with its outcome corrected where that is not what the host says."""
        if item.storage is None:
            return item
        try:
            return self._compared(request, item, held)
        except FirebreakError as error:
            _raise_what_passes(error)
            reason = cut(f"in the vault, but it can't be kept or read there: {error}")
            return item.model_copy(update={"storage": None, "outcome": Outcome(state="failed", reason=reason)})

    def _compared(self, request: RegisterEvidence, item: CollectedItem, held: StandingHolds) -> CollectedItem:
        found = digest_in(self._vault, request.incident_id, item.evidence_id)
        if found is None:
            reason = "the host says it handed this over, the vault holds nothing"
            return item.model_copy(update={"storage": None, "outcome": Outcome(state="missing", reason=reason)})
        storage = self._keep_as_asked(request, item.evidence_id, item, held)
        kept = self._vault.find(request.incident_id, item.evidence_id)
        holds = {"sha256": found, "size": kept.size, "name": kept.name}
        said = {"sha256": item.sha256, "size": item.size, "name": item.name}
        differ = [key for key in said if holds[key] != said[key]]
        other = [f"the vault holds {key} {holds[key]}, the host says {said[key]}" for key in differ]
        if not other:
            return item.model_copy(update={"storage": storage})
        outcome = Outcome(state="failed", reason="; ".join(other))
        return item.model_copy(update={**holds, "outcome": outcome, "storage": storage})

    def _keep_as_asked(
        self, request: RegisterEvidence, evidence_id: str, item: CollectedItem, held: StandingHolds
    ) -> Storage:
        retention = retention_of(request.retention, item, sealed=False)
        storage = self._vault.retain(request.incident_id, evidence_id, retention)
        if held.holds(evidence_id):
            return self._vault.hold(request.incident_id, evidence_id, on=True)
        return storage

    def _record_arrival(self, request: RegisterEvidence, item: CollectedItem) -> None:
        case_id = request.incident_id
        self._chains.append_custody(case_id, custody.collected(case_id, item, actor=request.collector))
        if item.storage is not None and item.sha256 is not None:
            arrival = custody.transferred(case_id, item, actor=CONTROL, at=datetime.now(UTC), found=item.sha256)
            self._chains.append_custody(case_id, arrival)


def retention_of(spec: RetentionSpec, item: CollectedItem, *, sealed: bool) -> Retention:
    """How long an item is kept at least: counted from when it was collected, as far as that can be true.

    The host says when. Nothing is locked for longer because its clock is wrong, or for less because it lies.
    """
    now, mode = datetime.now(UTC), spec.sealed_mode if sealed else spec.mode
    begun = min(item.acquisition.ended, now)
    if not sealed:
        return Retention(mode=mode, until=max(begun, now - _OLDEST) + timedelta(days=spec.days))
    # A seal may come months later: it keeps at least to what was promised at first.
    until, promised = begun + timedelta(days=spec.days), item.storage and item.storage.retain_until
    return Retention(mode=mode, until=max(until, promised) if promised else until)


def _raise_what_passes(error: FirebreakError) -> None:
    """Credentials, clocks and keys are set right: an item must not be said to be missing for them.

    Raises:
        VaultUnavailable: trying again can help.
    """
    if error.retryable:
        raise error
    if isinstance(error, VaultDenied | VaultKeyRefused):
        raise VaultUnavailable(error.summary, hint=error.hint) from error
