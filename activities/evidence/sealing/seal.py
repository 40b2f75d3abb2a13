"""Sealing a case: the custody event, the signed statement, the stricter retention, and the timestamp after it.

Owns the order: the event that tells of a seal comes first and is the last thing that the seal covers, so what is signed
follows from the chains alone and a crash anywhere is made good by doing it again. The same chains and documents get no
second seal. Runs in the worker, which alone has the signer.

    sealing = Sealing(registry, ledger.custody, vault, cache(open_signer), authority)
    Worker(..., activities=[sealing.seal_case, sealing.timestamp_seal])
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256

from temporalio import activity

from activities.contracts.custody import CustodyEvent, Manifest, SealCase, SealRef, TimestampSeal
from activities.contracts.evidence import Retention
from activities.evidence import custody
from activities.evidence.errors import SealBroken, VaultDenied, VaultMissing, VaultRefused
from activities.evidence.mirroring import CaseChains, head_of
from activities.evidence.register import CONTROL, EvidenceRegistry, retention_of
from activities.evidence.sealing.beating import beating
from activities.evidence.sealing.envelope import open_envelope, sign_statement
from activities.evidence.sealing.names import (
    envelope_name,
    key_name,
    seal_event_id,
    sort_out,
    timestamp_event_id,
    timestamp_name,
)
from activities.evidence.sealing.signers import SealSigner
from activities.evidence.sealing.standing import check_standing
from activities.evidence.sealing.statement import build_statement, documents_of
from activities.evidence.sealing.timestamps import TimestampAuthority, check_timestamp
from activities.evidence.sealing.trust import Trust
from activities.evidence.side_by_side import side_by_side
from activities.evidence.vault.interface import Vault
from activities.evidence.vault.layout import GENESIS
from activities.evidence.vault.locks import longest
from playbooks.canonical import canonical
from playbooks.forensics import RetentionSpec


class Sealing:
    """Activities of the control worker."""

    def __init__(
        self,
        registry: EvidenceRegistry,
        chains: CaseChains,
        vault: Vault,
        signer: Callable[[], SealSigner],
        authority: TimestampAuthority | None = None,
        trust: Callable[[], Trust] = Trust,
    ) -> None:
        self._registry, self._chains, self._vault = registry, chains, vault
        # Asked for when there is something to sign: nobody is contained later because a signing service is away.
        self._signer, self._authority, self._trust = signer, authority, trust

    # A seal that was begun is ended, whoever still waits for it: the next one need not do it again.
    @activity.defn(name="seal_case", no_thread_cancel_exception=True)
    @beating()
    def seal_case(self, request: SealCase) -> SealRef:
        """Seal what there is; if the last seal covers it all, that one is the answer.

        Raises:
            SignerAway, VaultUnavailable: retryable; nothing is lost by trying again.
            SignerUnusable: the key can't be used as configured.
            SealBroken: what was sealed before was altered, or another key sealed; nothing is signed on top of it.
        """
        case_id = request.incident_id
        with self._vault.locked(case_id):
            events = self._chains.custody(case_id)
            told = _seals_in(events)
            if self._lacks_envelope(case_id, events):
                self._complete(case_id, len(told), events[: told[-1] + 1])
            if not told or self._is_more(case_id, len(told), events, told[-1]):
                self._tell(request, len(told) + 1)
                events = self._chains.custody(case_id)
                told = _seals_in(events)
                self._complete(case_id, len(told), events[: told[-1] + 1])
            ref = self._ref(case_id, len(told))
        return ref.model_copy(update={"problem": self._retain(case_id, ref)})

    @activity.defn(name="timestamp_seal")
    def timestamp_seal(self, request: TimestampSeal) -> SealRef:
        """Have the authority vouch for a seal's time; once it has, that is no change.

        Raises:
            TimestampAway: it does not answer; retryable.
        """
        case_id, number = request.incident_id, request.number
        if self._authority is None:
            return self._ref(case_id, number)
        content = self._envelope(case_id, number)
        answer = self._timestamp(case_id, number) or self._authority.stamp(content)
        with self._vault.locked(case_id):
            answer = self._timestamp(case_id, number) or answer
            name = timestamp_name(number, open_envelope(content).statement.predicate.custody.head)
            self._vault.put_document(case_id, "seals", name, answer)
            self._chains.append_custody(case_id, self._stamped(case_id, number, content, answer))
            self._registry.mirror_locked(case_id)
            ref = self._ref(case_id, number)
        return ref.model_copy(update={"problem": self._retain_record(case_id, ref)})

    def _lacks_envelope(self, case_id: str, events: Sequence[CustodyEvent]) -> bool:
        """Whether the last seal is told of and not there, as a crash leaves it; whatever is there has to stand."""
        told, trust = _seals_in(events), self._trust()
        lacks = bool(told) and len(told) not in sort_out(self._vault.case(case_id).documents("seals")).envelopes
        if told:
            trust = trust.knowing(self._signer().key)
        covered = events[: told[-1]] if lacks else events
        check_standing(self._vault, case_id, self._chains.manifests(case_id), covered, trust)
        return lacks

    def _tell(self, request: SealCase, number: int) -> None:
        """The custody event; it binds the manifests to the custody chain."""
        manifests = self._chains.manifests(request.incident_id)
        build = custody.event(
            request.incident_id,
            evidence_id=None,
            action="seal",
            actor=request.actor,
            at=datetime.now(UTC),
            purpose=request.purpose,
            hash_after=head_of(request.incident_id, manifests, ()).manifest_head,
            key=seal_event_id(number),
        )
        self._chains.append_custody(request.incident_id, build)

    def _complete(self, case_id: str, number: int, events: Sequence[CustodyEvent]) -> None:
        """The envelope of the seal that the last of these events tells of."""
        self._registry.mirror_locked(case_id)
        manifests = self._chains.manifests(case_id)
        before = sha256(self._envelope(case_id, number - 1)).hexdigest() if number > 1 else None
        statement = build_statement(
            _covered(manifests, events[-1]),
            events,
            number=number,
            previous=before,
            documents=self._documents(case_id),
            timestamp="asked" if self._authority else "none",
        )
        signer = self._signer()
        content = sign_statement(statement, signer.signer)
        self._vault.put_document(case_id, "keys", key_name(signer.key.keyid), signer.key.pem)
        name = envelope_name(number, statement.predicate.custody.head)
        self._vault.put_document(case_id, "seals", name, content)

    def _is_more(self, case_id: str, number: int, events: Sequence[CustodyEvent], last: int) -> bool:
        """Whether anything is there that the last seal does not cover."""
        head = head_of(case_id, self._chains.manifests(case_id), ()).manifest_head
        if last + 1 < len(events) or events[last].hash_after != head:
            return True
        return documents_of(open_envelope(self._envelope(case_id, number)).statement) != self._documents(case_id)

    def _retain(self, case_id: str, ref: SealRef) -> str:
        """Keep what is sealed as the playbook asks for sealed evidence; why not, where the vault can't."""
        sealed = self._chains.manifests(case_id)[: ref.manifests]
        problems = side_by_side(partial(self._retain_item, case_id), (m for m in sealed if m.item.storage is not None))
        # One that can't be kept so is no reason to keep the others less.
        return next(filter(None, [*problems, self._retain_record(case_id, ref)]), "")

    def _retain_item(self, case_id: str, manifest: Manifest) -> str:
        try:
            self._vault.retain(case_id, manifest.item.evidence_id, _sealed_retention(manifest))
        except (VaultDenied, VaultRefused) as error:
            return f"{manifest.item.evidence_id} is not kept as sealed evidence is: {error.summary}"
        return ""

    def _retain_record(self, case_id: str, ref: SealRef) -> str:
        """Keep chains, seals and head for as long as any item that they vouch for."""
        sealed = self._chains.manifests(case_id)[: ref.manifests]
        try:
            self._vault.retain_case(case_id, longest(map(_sealed_retention, sealed)))
        except (VaultDenied, VaultRefused) as error:
            return f"The chains and seals of {case_id} are not kept as sealed evidence is: {error.summary}"
        return ""

    def _stamped(self, case_id: str, number: int, content: bytes, answer: bytes) -> custody.Build:
        at = check_timestamp(answer, content, self._authority.roots if self._authority else ())
        return custody.event(
            case_id,
            evidence_id=None,
            action="seal",
            actor=CONTROL,
            at=datetime.now(UTC),
            purpose=f"timestamp of seal {number}: {at:%Y-%m-%d %H:%M:%S} UTC",
            hash_after=sha256(answer).hexdigest(),
            key=timestamp_event_id(number),
        )

    def _ref(self, case_id: str, number: int) -> SealRef:
        content = self._envelope(case_id, number)
        opened = open_envelope(content)
        said, answer = opened.statement.predicate, self._timestamp(case_id, number)
        ref = SealRef(
            number=number,
            manifests=said.manifests.length,
            custody=said.custody.length,
            keyid=opened.keyid,
            sealed_at=said.sealed_at,
            timestamp="pending" if self._authority else "none",
        )
        if answer is None:
            return ref
        return ref.model_copy(update={"timestamp": "held", "timestamp_at": check_timestamp(answer, content, ())})

    def _envelope(self, case_id: str, number: int) -> bytes:
        reader = self._vault.case(case_id)
        name = sort_out(reader.documents("seals")).envelopes.get(number)
        if name is None:
            raise VaultMissing(f"Case {case_id} has no seal {number}.", hint="Seal it: firebreak evidence seal.")
        return reader.document("seals", name)

    def _timestamp(self, case_id: str, number: int) -> bytes | None:
        reader = self._vault.case(case_id)
        name = sort_out(reader.documents("seals")).timestamps.get(number)
        return reader.document("seals", name) if name else None

    def _documents(self, case_id: str) -> dict[str, str]:
        reader = self._vault.case(case_id)
        names = reader.documents("documents")
        return {name: sha256(reader.document("documents", name)).hexdigest() for name in names}


def _sealed_retention(manifest: Manifest) -> Retention:
    return retention_of(manifest.retention or RetentionSpec(), manifest.item, sealed=True)


def _seals_in(events: Sequence[CustodyEvent]) -> list[int]:
    """Where in the custody chain its seals are told of."""
    found: list[int] = []
    for place, event in enumerate(events):
        if event.action == "seal" and event.event_id == seal_event_id(len(found) + 1):
            found.append(place)
    return found


def _covered(manifests: Sequence[Manifest], told: CustodyEvent) -> Sequence[Manifest]:
    """The manifests up to the one whose hash the event holds."""
    for length in range(len(manifests), 0, -1):
        if sha256(canonical(manifests[length - 1])).hexdigest() == told.hash_after:
            return manifests[:length]
    if told.hash_after != GENESIS:
        raise SealBroken(f"No manifest of case {told.case_id} has the hash that {told.event_id} tells of.")
    return ()
