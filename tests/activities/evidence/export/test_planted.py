"""Bags that somebody made over: whatever is in no seal, or is not the file that was hashed, fails."""

from pathlib import Path

import pytest

from activities.evidence.errors import ExportBroken
from activities.evidence.export.bag import MANIFEST, TAG_FILES, TAG_MANIFEST, listing
from activities.evidence.export.checking import verify_bag
from activities.evidence.sealing.trust import Trust
from activities.evidence.vault.writing import sha256_of
from tests.activities.evidence.items import CASE, make_item
from tests.activities.evidence.sealed import SealedCase, a_signer


def listed_anew(bag: Path) -> None:
    """The bag's own lists, which nobody signs, so that they agree with what is there."""
    files = sorted(file for file in (bag / "data").rglob("*") if file.is_file())
    write(bag / MANIFEST, listing((file.relative_to(bag).as_posix(), sha256_of(file)) for file in files))
    write(bag / TAG_MANIFEST, listing((name, sha256_of(bag / name)) for name in sorted(TAG_FILES)))


def write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def made_over(sealed: SealedCase, into: Path) -> Path:
    """A bag whose case is what is in the vault now, whatever that is."""
    bag = sealed.export(into)
    for name in ("manifests", "custody", "seals", "keys"):
        for file in (bag / "data" / name).iterdir():
            file.unlink()
        for file in (sealed.folder / name).iterdir():
            write(bag / "data" / name / file.name, file.read_bytes())
    write(bag / "data" / "head.json", (sealed.folder / "head.json").read_bytes())
    listed_anew(bag)
    return bag


def test_two_files_of_one_item_are_named(bag: Path, sealed: SealedCase) -> None:
    genuine = bag / "data" / "artefacts" / "web-1.routes@routes.json"
    content = genuine.read_bytes()
    genuine.rename(genuine.with_name("web-1.routes@0aa.txt"))
    write(genuine, content.upper())
    listed_anew(bag)
    for trust in (sealed.trust, Trust()):
        verdict = verify_bag(bag, trust)
        assert "web-1.routes: expected one file, found 2" in verdict.first_failure


def test_a_bag_without_seals_fails_even_if_nobody_brings_a_key(sealed: SealedCase, tmp_path: Path) -> None:
    from tests.activities.evidence.sealing.test_planted import without_seals

    bag = sealed.export(tmp_path / "out")
    without_seals(sealed)
    for name in ("manifests", "custody", "seals", "keys"):
        for file in (bag / "data" / name).iterdir():
            file.unlink()
        for file in (sealed.folder / name).iterdir():
            write(bag / "data" / name / file.name, file.read_bytes())
    (bag / "data" / "documents" / "report.html").unlink()
    write(bag / "data" / "head.json", (sealed.folder / "head.json").read_bytes())
    listed_anew(bag)
    for trust in (sealed.trust, Trust()):
        verdict = verify_bag(bag, trust)
        assert "expected a seal, found none" in verdict.first_failure


def test_a_link_that_no_seal_covers_fails_in_a_bag(sealed: SealedCase, tmp_path: Path) -> None:
    sealed.registry.record(CASE, None, action="access", actor="user:eve", purpose="never was")
    verdict = verify_bag(made_over(sealed, tmp_path / "out"), sealed.trust)
    assert not verdict.ok
    assert "0 items and 1 custody events are in no seal, from custody/" in verdict.first_failure


def test_a_document_that_no_seal_covers_fails_in_a_bag(bag: Path, sealed: SealedCase) -> None:
    write(bag / "data" / "documents" / "annex.html", b"<p>And more.")
    listed_anew(bag)
    assert verify_bag(bag, sealed.trust).first_failure == "documents/annex.html is in no seal"


def test_what_came_after_the_last_seal_stays_in_the_vault(sealed: SealedCase, tmp_path: Path) -> None:
    """Somebody reads an item between the seal of an export and its plan: the bag is sealed as a whole all the same."""
    sealed.register(make_item(sealed.vault, "late"))
    sealed.registry.record(CASE, "web-1.routes", action="access", actor="user:ada", purpose="triage")
    sealed.vault.put_document(CASE, "documents", "annex.html", b"<p>And more.")
    bag = sealed.export(tmp_path / "out")
    verdict = verify_bag(bag, sealed.trust)
    assert (verdict.ok, verdict.items, verdict.unsealed) == (True, 4, 1), verdict.first_failure
    assert not (bag / "data" / "documents" / "annex.html").exists()


def test_nothing_is_handed_over_whose_seals_another_key_made(sealed: SealedCase) -> None:
    from tests.activities.evidence.sealing.test_planted import signed_anew

    stranger = a_signer()
    signed_anew(sealed, 3, {}, stranger)
    with pytest.raises(ExportBroken, match=f"is signed with the key {stranger.key.keyid}"):
        sealed.bag()


def test_the_fingerprint_to_tell_is_one_that_was_known_before(sealed: SealedCase) -> None:
    assert sealed.bag().keyids == (sealed.signer.key.keyid,)
