"""Somebody who can write everything but has no key: whole cases rewritten so that every hash agrees."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from activities.contracts.custody import CustodyEvent, Manifest
from activities.evidence.mirroring import head_of
from activities.evidence.sealing.envelope import open_envelope, sign_statement
from activities.evidence.sealing.trust import Trust
from activities.evidence.vault.layout import GENESIS, chained_name
from activities.evidence.verify import verify_case_directory
from playbooks.canonical import canonical
from tests.activities.evidence.items import CASE
from tests.activities.evidence.sealed import SealedCase, a_signer

Forge = Callable[["Forger"], None]


class Forger:
    """Rewrites chains and head so that they agree with each other again."""

    def __init__(self, case: SealedCase) -> None:
        self.folder = case.folder
        self.manifests = case.ledger.custody.manifests(CASE)
        self.events = case.ledger.custody.custody(CASE)

    def write(self) -> None:
        """Every link anew, each continuing the one before."""
        manifests: list[Manifest] = []
        for seq, manifest in enumerate(self.manifests, start=1):
            update = {"seq": seq, "prev_hash": _hash(manifests[-1]) if manifests else GENESIS}
            manifests.append(manifest.model_copy(update=update))
        events: list[CustodyEvent] = []
        for event in self.events:
            update = {"prev_event_hash": _hash(events[-1]) if events else GENESIS}
            events.append(event.model_copy(update=update))
        self._replace("manifests", [(m.item.evidence_id, m) for m in manifests])
        self._replace("custody", [(e.event_id, e) for e in events])
        _write(self.folder / "head.json", canonical(head_of(CASE, manifests, events)))

    def _replace(self, folder: str, links: list[tuple[str, Manifest | CustodyEvent]]) -> None:
        for old in (self.folder / folder).iterdir():
            old.unlink()
        for seq, (key, link) in enumerate(links, start=1):
            _write(self.folder / folder / chained_name(seq, key), canonical(link))

    def without(self, evidence_id: str) -> None:
        """As if it had never been collected."""
        self.manifests = [m for m in self.manifests if m.item.evidence_id != evidence_id]
        self.events = [e for e in self.events if e.evidence_id != evidence_id]

    def with_other_bytes(self, evidence_id: str) -> None:
        """Another content under the same id, and every digest with it."""
        path = next((self.folder / "artefacts").glob(f"{evidence_id}@*"))
        content = path.read_bytes().upper()
        _write(path, content)
        digest = hashlib.sha256(content).hexdigest()
        self.manifests = [
            m.model_copy(update={"item": m.item.model_copy(update={"sha256": digest})})
            if m.item.evidence_id == evidence_id
            else m
            for m in self.manifests
        ]
        self.events = [_with_digest(e, digest) if e.evidence_id == evidence_id else e for e in self.events]


def _with_digest(event: CustodyEvent, digest: str) -> CustodyEvent:
    update = {name: digest for name in ("hash_before", "hash_after") if getattr(event, name)}
    return event.model_copy(update=update)


def _hash(link: Manifest | CustodyEvent) -> str:
    return hashlib.sha256(canonical(link)).hexdigest()


def _write(path: Path, content: bytes) -> None:
    if path.exists():
        path.unlink()
    path.write_bytes(content)


def drop_an_item(forger: Forger) -> None:
    forger.without("web-1.processes")


def change_an_item(forger: Forger) -> None:
    forger.with_other_bytes("web-1.routes")


def exchange_two_items(forger: Forger) -> None:
    first, second, *rest = forger.manifests
    forger.manifests = [second, first, *rest]


def forget_a_read(forger: Forger) -> None:
    forger.events = [event for event in forger.events if event.action != "access"]


def blame_somebody_else(forger: Forger) -> None:
    forger.events = [
        event.model_copy(update={"actor": "user:eve"}) if event.action == "access" else event for event in forger.events
    ]


def cut_to_before_the_first_seal(forger: Forger) -> None:
    forger.manifests, forger.events = forger.manifests[:2], forger.events[:4]


def forget_the_last_seal(forger: Forger) -> None:
    forger.events = forger.events[:11]


def forget_a_timestamp(forger: Forger) -> None:
    forger.events = [event for event in forger.events if not event.event_id.endswith("2.timestamp")]


@pytest.mark.parametrize(
    ("forge", "says"),
    [
        (drop_an_item, "seals/000001@"),
        (change_an_item, "to have sha256"),
        (exchange_two_items, "seals/000001@"),
        (forget_a_read, "seals/000001@"),
        (blame_somebody_else, "expected custody/000008@seal-000001.json to have sha256"),
        (cut_to_before_the_first_seal, "covers 3 manifests, found 2: manifests/000003 is missing"),
        (forget_the_last_seal, "covers 12 custody, found 11: custody/000012 is missing"),
        (forget_a_timestamp, ".tsr: is a timestamp with sha256"),
    ],
)
def test_a_case_rewritten_so_that_its_hashes_agree_does_not_agree_with_its_seals(
    sealed: SealedCase, forge: Forge, says: str
) -> None:
    forger = Forger(sealed)
    forge(forger)
    forger.write()
    for trust in (sealed.trust, Trust()):
        verdict = verify_case_directory(sealed.folder, trust)
        assert not verdict.ok
        assert says in verdict.first_failure, verdict.first_failure


def test_chains_without_any_seal_are_told_apart_from_sealed_ones(sealed: SealedCase) -> None:
    """Taking seals away as well leaves hashes that agree: that nothing is sealed is said, never hidden."""
    forger = Forger(sealed)
    forger.events = [event for event in forger.events if event.action != "seal"]
    forger.write()
    for folder in ("seals", "keys"):
        for file in (sealed.folder / folder).iterdir():
            file.unlink()
    verdict = verify_case_directory(sealed.folder)
    assert (verdict.ok, verdict.seals) == (True, ())
    assert verdict.unsealed == len(forger.manifests) + len(forger.events)


def test_a_case_signed_anew_with_another_key_is_known_by_the_fingerprint(sealed: SealedCase) -> None:
    """Whoever can write can sign with a key of his own and lay that beside: a fingerprint told elsewhere stops it."""
    signer = a_signer()
    previous: str | None = None
    for file in sorted((sealed.folder / "seals").glob("*.dsse.json")):
        statement = open_envelope(file.read_bytes()).statement
        update = {"previous": previous, "timestamp": "none"}
        forged = statement.model_copy(update={"predicate": statement.predicate.model_copy(update=update)})
        _write(file, sign_statement(forged, signer.signer))
        previous = hashlib.sha256(file.read_bytes()).hexdigest()
    for file in [*(sealed.folder / "seals").glob("*.tsr"), *(sealed.folder / "keys").iterdir()]:
        file.unlink()
    _write(sealed.folder / "keys" / f"{signer.key.keyid}.pem", signer.key.pem)
    known = verify_case_directory(sealed.folder, sealed.trust)
    assert f"is signed with the key {signer.key.keyid}, which is none of those that you gave" in known.first_failure
    unknown = verify_case_directory(sealed.folder)
    assert "expected the timestamp that the custody chain tells of, found none" in unknown.first_failure
    assert any(signer.key.keyid in warning for warning in unknown.warnings)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("seals/000003@0123456789abcdef.dsse.json", b"{}", "seals/000003@0123456789abcdef.dsse.json: can't be read"),
        ("seals/000004@0123456789abcdef.dsse.json", b"{}", "seals/000003: expected an envelope of this number"),
        ("seals/000003@0123456789abcdef.tsr", b"", "seals/000003: expected an envelope of this number"),
        ("seals/notes.txt", b"", "seals/notes.txt: expected no such file"),
        ("keys/other.pem", b"", "keys/other.pem: can't be read as a public key"),
        ("manifests/000009@web-1.x.json", b"{}", "manifests/000005: expected a link of this place"),
    ],
)
def test_what_does_not_belong_there_is_named(sealed: SealedCase, name: str, content: bytes, says: str) -> None:
    _write(sealed.folder / name, content)
    verdict = verify_case_directory(sealed.folder, sealed.trust)
    assert not verdict.ok
    assert says in verdict.first_failure


def test_an_event_that_contradicts_a_manifest_is_named(sealed: SealedCase) -> None:
    forger = Forger(sealed)
    forger.events = [_with_digest(e, "0" * 64) if e.action == "access" else e for e in forger.events]
    forger.write()
    verdict = verify_case_directory(sealed.folder, sealed.trust)
    assert (
        f"custody/000007@web-1.routes.access.7.json: web-1.routes had sha256 {'0' * 64} then" in verdict.first_failure
    )


def test_an_event_about_an_item_that_nobody_knows_is_named(sealed: SealedCase) -> None:
    forger = Forger(sealed)
    forger.manifests = forger.manifests[:-1]
    forger.write()
    first = verify_case_directory(sealed.folder, sealed.trust).first_failure
    assert first == "custody/000010@web-1.conntrack.collect.json: tells of web-1.conntrack, which no manifest names"


def test_an_envelope_in_another_form_does_not_hold_even_if_it_means_the_same(sealed: SealedCase) -> None:
    path = next((sealed.folder / "seals").glob("000001@*.dsse.json"))
    _write(path, json.dumps(json.loads(path.read_bytes())).encode())
    assert "is not in the canonical form in which it was signed" in sealed.verify().first_failure
