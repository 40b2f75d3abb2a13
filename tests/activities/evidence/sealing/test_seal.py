"""Sealing: what a seal covers, that it is made once, and that a crash anywhere is made good."""

import json
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from securesystemslib.dsse import Envelope

from activities.contracts.evidence import Retention, Storage
from activities.evidence.errors import SealBroken, VaultRefused
from activities.evidence.sealing.envelope import open_envelope
from activities.evidence.sealing.trust import Trust
from activities.evidence.vault.local import LocalVault
from playbooks.canonical import canonical
from tests.activities.evidence.items import CASE, absent_item, make_item
from tests.activities.evidence.sealed import SealedCase


def names(case: SealedCase, folder: str = "seals") -> list[str]:
    return sorted(path.name for path in (case.folder / folder).iterdir())


def envelope(case: SealedCase, number: int) -> bytes:
    return next((case.folder / "seals").glob(f"{number:06d}@*.dsse.json")).read_bytes()


def test_a_seal_is_an_in_toto_statement_that_names_every_item_by_its_digest(unstamped: SealedCase) -> None:
    item = make_item(unstamped.vault, "sockets")
    unstamped.register(item, absent_item("conntrack"))
    ref = unstamped.seal()
    sealed = Envelope.from_dict(json.loads(envelope(unstamped, 1)))
    assert sealed.payload_type == "application/vnd.in-toto+json"
    assert sealed.verify([unstamped.signer.key.key], 1)
    said = json.loads(sealed.payload)
    head = json.loads((unstamped.folder / "head.json").read_bytes())
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["subject"] == [
        {"name": "chains/custody", "digest": {"sha256": head["custody_head"]}},
        {"name": "chains/manifests", "digest": {"sha256": head["manifest_head"]}},
        {"name": "web-1.sockets", "digest": {"sha256": item.sha256}},
    ]
    predicate = said["predicate"]
    assert predicate["without_bytes"] == [
        {"evidence_id": "web-1.conntrack", "outcome": "failed", "reason": "no such command"}
    ]
    assert (predicate["case_id"], predicate["tlp"], predicate["timestamp"]) == (CASE, "AMBER+STRICT", "none")
    assert (ref.manifests, ref.custody) == (2, 4) == (head["manifests"], head["custody"])


def test_the_seal_is_the_last_custody_event_that_it_covers(unstamped: SealedCase) -> None:
    unstamped.register(make_item(unstamped.vault, "sockets"))
    ref = unstamped.seal("post-mortem")
    event = unstamped.ledger.custody.custody(CASE)[-1]
    assert (event.action, event.actor, event.purpose) == ("seal", "user:ada", "post-mortem")
    assert (event.at, ref.custody) == (ref.sealed_at, 3)
    assert event.hash_after == sha256(canonical(unstamped.ledger.custody.manifests(CASE)[-1])).hexdigest()


def test_the_same_chains_get_no_second_seal(unstamped: SealedCase) -> None:
    unstamped.register(make_item(unstamped.vault, "sockets"))
    assert unstamped.seal() == unstamped.seal("again, by somebody else")
    assert len(names(unstamped)) == 1
    assert unstamped.verify().unsealed == 0


def test_each_seal_vouches_for_the_one_before_and_for_what_came_since(unstamped: SealedCase) -> None:
    unstamped.register(make_item(unstamped.vault, "sockets"))
    unstamped.seal()
    unstamped.vault.put_document(CASE, "documents", "report.html", b"<p>It was so.")
    assert unstamped.verify().warnings == ("documents/report.html is in no seal yet.",)
    ref = unstamped.seal()
    said = open_envelope(envelope(unstamped, 2)).statement
    assert (ref.number, said.predicate.previous) == (2, sha256(envelope(unstamped, 1)).hexdigest())
    digests = {subject.name: subject.digest.sha256 for subject in said.subject}
    assert digests["documents/report.html"] == sha256(b"<p>It was so.").hexdigest()
    verdict = unstamped.verify()
    assert (verdict.ok, verdict.warnings, [seal.number for seal in verdict.seals]) == (True, (), [1, 2])


def test_links_after_the_last_seal_are_counted(unstamped: SealedCase) -> None:
    unstamped.register(make_item(unstamped.vault, "sockets"))
    unstamped.seal()
    unstamped.register(make_item(unstamped.vault, "routes"))
    verdict = unstamped.verify()
    assert (verdict.ok, verdict.unsealed) == (True, 3)


@pytest.mark.parametrize("crash_at", ["put_head", "put_document seals", "put_document keys", "put_document custody"])
def test_a_crash_on_the_way_is_made_good_by_sealing_again(
    unstamped: SealedCase, crash_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any of its writes, what was told of in the custody chain is what is sealed in the end."""
    unstamped.register(make_item(unstamped.vault, "sockets"))
    operation, _, folder = crash_at.partition(" ")
    with monkeypatch.context() as patched:
        patched.setattr(unstamped.vault, operation, _dying(getattr(unstamped.vault, operation), folder))
        with pytest.raises(KeyboardInterrupt):
            unstamped.seal("first")
    unstamped.register(make_item(unstamped.vault, "routes"))
    ref = unstamped.seal("second")
    verdict = unstamped.verify()
    assert (verdict.ok, verdict.unsealed, ref.manifests) == (True, 0, 2)
    told = [event.purpose for event in unstamped.ledger.custody.custody(CASE) if event.action == "seal"]
    assert told == ["first", "second"]
    assert len(verdict.seals) == 2


def _dying(real: object, folder: str) -> object:
    def call(*arguments: object) -> object:
        if not folder or arguments[1] == folder:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[operator]

    return call


def test_sealed_items_are_kept_as_the_playbook_asks_for_sealed_evidence(
    unstamped: SealedCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Retention]] = []
    real = LocalVault.retain

    def note(vault: LocalVault, case_id: str, evidence_id: str, retention: Retention) -> Storage:
        asked.append((evidence_id, retention))
        return real(vault, case_id, evidence_id, retention)

    monkeypatch.setattr(LocalVault, "retain", note)
    item = make_item(unstamped.vault, "sockets")
    unstamped.register(item, absent_item("conntrack"))
    unstamped.seal()
    assert [(evidence_id, r.mode) for evidence_id, r in asked] == [
        ("web-1.sockets", "governance"),
        ("web-1.sockets", "compliance"),
    ]
    # The host's clock is years ahead: it is counted from now.
    assert {(r.until - datetime.now(UTC)).days for _, r in asked if r.until} <= {364, 365}


def test_chains_and_seals_are_kept_as_long_as_what_they_vouch_for(stamped: SealedCase) -> None:
    item = make_item(stamped.vault, "sockets")
    stamped.register(item)
    stamped.seal()
    terms = stamped.vault._shelf(CASE).records.case()
    assert terms.retain_until is not None
    assert (terms.retain_until - min(item.acquisition.ended, datetime.now(UTC))).days in {364, 365}
    assert stamped.stamp(1).problem == ""


def test_a_vault_that_can_not_lock_the_chains_is_told_of(stamped: SealedCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for a bucket without Object Lock, whose refusal no server here gives."""
    stamped.register(make_item(stamped.vault, "sockets"))

    def refuse(*_: object) -> None:
        raise VaultRefused("The bucket has no Object Lock.")

    monkeypatch.setattr(LocalVault, "retain_case", refuse)
    problem = "The chains and seals of inc-1 are not kept as sealed evidence is: The bucket has no Object Lock."
    assert stamped.seal().problem == problem
    assert stamped.stamp(1).problem == problem


def test_a_vault_that_can_not_lock_is_told_of_and_the_seal_stands(
    unstamped: SealedCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stands for a bucket without Object Lock, whose refusal no server here gives."""
    unstamped.register(make_item(unstamped.vault, "sockets"))

    def refuse(*_: object) -> Storage:
        raise VaultRefused("The bucket has no Object Lock.")

    monkeypatch.setattr(LocalVault, "retain", refuse)
    ref = unstamped.seal()
    assert (ref.number, ref.problem) == (
        1,
        "web-1.sockets is not kept as sealed evidence is: The bucket has no Object Lock.",
    )


def test_an_empty_case_can_be_sealed(unstamped: SealedCase) -> None:
    ref = unstamped.seal()
    assert (ref.manifests, ref.custody) == (0, 1)
    assert unstamped.verify().ok


def test_a_new_key_goes_on_where_the_old_one_ended(unstamped: SealedCase) -> None:
    unstamped.register(make_item(unstamped.vault, "sockets"))
    unstamped.seal()
    unstamped.register(make_item(unstamped.vault, "routes"))
    with pytest.raises(SealBroken, match="which is none of those"):
        open_case_with_another_key(unstamped, Trust()).seal()
    other = open_case_with_another_key(unstamped, unstamped.trust)
    other.seal()
    assert len(names(unstamped, "keys")) == 2
    verdict = unstamped.verify()
    assert not verdict.ok
    assert f"is signed with the key {other.signer.key.keyid}, which is none of those that you gave" in (
        verdict.first_failure
    )
    both = other.trust.__class__(fingerprints=frozenset([unstamped.signer.key.keyid, other.signer.key.keyid]))
    assert unstamped.verify(both).ok


def open_case_with_another_key(case: SealedCase, known: Trust) -> SealedCase:
    from activities.evidence.sealing.seal import Sealing
    from tests.activities.evidence.sealed import a_signer

    signer = a_signer()
    sealing = Sealing(case.registry, case.ledger.custody, case.vault, lambda: signer, None, lambda: known)
    return SealedCase(case.ledger, case.vault, case.registry, sealing, signer)


def test_a_case_sealed_twice_at_once_has_no_hole(unstamped: SealedCase) -> None:
    """Worker and worker: the vault's lock orders them, so that each number is one seal."""
    from concurrent.futures import ThreadPoolExecutor

    unstamped.register(make_item(unstamped.vault, "sockets"))
    with ThreadPoolExecutor(4) as pool:
        refs = list(pool.map(unstamped.seal, ["a1", "b2", "c3", "d4"]))
    assert {ref.number for ref in refs} == {1}
    assert unstamped.verify().ok
