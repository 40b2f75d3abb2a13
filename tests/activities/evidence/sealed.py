"""A sealed, time-stamped and exported case, with nothing faked but the authority's identity."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from temporalio.testing import ActivityEnvironment

from activities.contracts.custody import Authority, CaseVerdict, RegisterEvidence, SealCase, SealRef, TimestampSeal
from activities.contracts.evidence import CollectedItem
from activities.evidence.contents import read_case
from activities.evidence.export.bag import Bag, plan_bag
from activities.evidence.export.tar import stream_tar
from activities.evidence.export.unpack import unpack_bag
from activities.evidence.register import EvidenceRegistry
from activities.evidence.sealing.keys import seal_key
from activities.evidence.sealing.seal import Sealing
from activities.evidence.sealing.signers import SealSigner
from activities.evidence.sealing.timestamps import TimestampAuthority
from activities.evidence.sealing.trust import Trust
from activities.evidence.vault.layout import case_folder
from activities.evidence.vault.local import LocalVault
from activities.evidence.verify import verify_case
from activities.ledger.ledger import Ledger
from tests.activities.evidence.items import CASE, absent_item, make_item
from tests.activities.evidence.tsa import StampingAuthority

EXPORTED = datetime(2031, 5, 2, 9, 0, tzinfo=UTC)


def a_signer() -> SealSigner:
    private = Ed25519PrivateKey.generate()
    public = seal_key(private.public_key())
    return SealSigner(CryptoSigner(private, public.key), public)


@dataclass
class SealedCase:
    """One case with all that works on it."""

    ledger: Ledger
    vault: LocalVault
    registry: EvidenceRegistry
    sealing: Sealing
    signer: SealSigner
    roots: tuple[object, ...] = ()

    @property
    def folder(self) -> Path:
        return case_folder(self.vault.root, CASE)

    def register(self, *items: CollectedItem) -> None:
        request = RegisterEvidence(
            incident_id=CASE,
            items=items,
            collector="agent:web",
            attested=True,
            authority=Authority(plan_hash="sha256:" + "0" * 64),
            containment_state="isolated",
            tlp="AMBER+STRICT",
        )
        ActivityEnvironment().run(self.registry.register_evidence, request)

    def seal(self, purpose: str = "test") -> SealRef:
        return self.sealing.seal_case(SealCase(incident_id=CASE, actor="user:ada", purpose=purpose))

    def stamp(self, number: int) -> SealRef:
        return self.sealing.timestamp_seal(TimestampSeal(incident_id=CASE, number=number))

    def verify(self, trust: Trust | None = None) -> CaseVerdict:
        return verify_case(self.vault.case(CASE), CASE, trust or self.trust)

    @property
    def trust(self) -> Trust:
        return Trust(fingerprints=frozenset([self.signer.key.keyid]), roots=self.roots)  # type: ignore[arg-type]

    def bag(self) -> Bag:
        reader = self.vault.case(CASE)
        return plan_bag(reader, read_case(reader), roots=self.roots, exported_at=EXPORTED, trust=self.trust)  # type: ignore[arg-type]

    def export(self, into: Path) -> Path:
        return unpack_bag(stream_tar(self.bag()), into)


def open_case(path: Path, authority: StampingAuthority | None = None, signer: SealSigner | None = None) -> SealedCase:
    """The case in a folder, empty at first; with an authority its seals are time-stamped."""
    ledger, vault, mine = Ledger.open(f"sqlite:///{path}/ledger.db"), LocalVault(path / "vault"), signer or a_signer()
    registry = EvidenceRegistry(ledger.custody, vault)
    roots = (authority.root,) if authority else ()
    asked = TimestampAuthority(authority.url, roots) if authority else None
    sealing = Sealing(registry, ledger.custody, vault, lambda: mine, asked)
    return SealedCase(ledger, vault, registry, sealing, mine, roots)


def copied(template: Path, path: Path, authority: StampingAuthority, signer: SealSigner) -> SealedCase:
    """A copy to do with as one likes: making a case anew takes a hundred writes to the disk."""
    shutil.copytree(template, path, dirs_exist_ok=True)
    return open_case(path, authority, signer)


def lived_through(case: SealedCase) -> SealedCase:
    """Three items and an absence, a report, reads, two seals, the timestamps of both."""
    case.register(*(make_item(case.vault, label) for label in ("sockets", "processes", "routes")))
    case.registry.record(CASE, "web-1.routes", action="access", actor="user:ada", purpose="triage")
    case.seal("post-mortem")
    case.vault.put_document(CASE, "documents", "report.html", b"<!doctype html><p>What happened.")
    case.stamp(1)
    case.register(absent_item("conntrack"))
    case.registry.record(CASE, None, action="export", actor="user:ada", purpose="for the court")
    case.seal("export")
    case.stamp(2)
    return case
