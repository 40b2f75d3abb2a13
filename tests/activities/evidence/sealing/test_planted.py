"""Somebody who can write into the vault between two seals: nothing of his is signed, adopted or taken for genuine."""

from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from activities.evidence.errors import SealBroken
from activities.evidence.sealing.envelope import open_envelope, sign_statement
from activities.evidence.sealing.names import envelope_name, key_name, seal_event_id
from activities.evidence.sealing.statement import build_statement
from activities.evidence.sealing.trust import Trust
from activities.evidence.verify import verify_case_directory
from tests.activities.evidence.items import CASE, make_item
from tests.activities.evidence.sealed import SealedCase, a_signer
from tests.activities.evidence.sealing.test_forgery import Forger, _write
from tests.activities.evidence.tsa import StampingAuthority


def with_a_second_file(case: SealedCase) -> None:
    """The genuine bytes under another name, forged ones under theirs."""
    genuine = case.folder / "artefacts" / "web-1.routes@routes.json"
    content = genuine.read_bytes()
    genuine.rename(genuine.with_name("web-1.routes@0aa.txt"))
    _write(genuine, content.upper())


@pytest.mark.parametrize("sealed_by_us", [True, False])
def test_two_files_of_one_item_are_named_and_neither_is_taken(sealed: SealedCase, *, sealed_by_us: bool) -> None:
    with_a_second_file(sealed)
    verdict = verify_case_directory(sealed.folder, sealed.trust if sealed_by_us else Trust())
    assert not verdict.ok
    assert verdict.first_failure == (
        "web-1.routes: expected one file, found 2: web-1.routes@0aa.txt, web-1.routes@routes.json."
    )


def without_seals(case: SealedCase) -> None:
    forger = Forger(case)
    forger.events = [event for event in forger.events if event.action != "seal"]
    forger.write()
    for folder in ("seals", "keys"):
        for file in (case.folder / folder).iterdir():
            file.unlink()


def test_a_case_whose_seals_were_taken_away_fails_whoever_brings_a_key(sealed: SealedCase) -> None:
    without_seals(sealed)
    verdict = verify_case_directory(sealed.folder, sealed.trust)
    assert (verdict.ok, verdict.first_failure) == (
        False,
        "seals: expected a seal, found none: nobody signed for any of it",
    )


def test_what_no_seal_covers_is_counted_and_its_beginning_named(unstamped: SealedCase) -> None:
    unstamped.register(make_item(unstamped.vault, "sockets"))
    unstamped.seal()
    unstamped.register(make_item(unstamped.vault, "routes"))
    verdict = unstamped.verify()
    told = "1 items and 2 custody events are in no seal, from manifests/000002@web-1.routes.json on"
    assert (verdict.ok, verdict.warnings) == (True, (told,))


@pytest.mark.parametrize("content", [b"<p>It was otherwise.", None])
def test_a_report_that_was_altered_after_its_seal_is_never_sealed_again(
    sealed: SealedCase, content: bytes | None
) -> None:
    report = sealed.folder / "documents" / "report.html"
    report.unlink() if content is None else _write(report, content)
    sealed.register(make_item(sealed.vault, "late"))
    before = sorted(path.name for path in (sealed.folder / "seals").iterdir())
    with pytest.raises(SealBroken, match=r"not sealed again: documents/report\.html: expected sha256"):
        sealed.seal()
    assert sorted(path.name for path in (sealed.folder / "seals").iterdir()) == before


def test_a_seal_that_says_otherwise_of_an_earlier_report_launders_nothing(sealed: SealedCase) -> None:
    """As a seal would that was made by a version that looked at the last statement alone."""
    report = sealed.folder / "documents" / "report.html"
    _write(report, b"<p>It was otherwise.")
    signed_anew(sealed, 3, {"report.html": sha256(report.read_bytes()).hexdigest()}, sealed.signer)
    assert "documents/report.html: expected sha256" in sealed.verify().first_failure


def signed_anew(case: SealedCase, number: int, documents: dict[str, str], signer: object) -> Path:
    """A seal by whoever signs, over chains as they are, told of in the ledger."""
    from activities.contracts.custody import SealCase

    case.sealing._tell(SealCase(incident_id=CASE, actor="user:ada", purpose="test"), number)
    case.registry.mirror(CASE)
    manifests, events = case.ledger.custody.manifests(CASE), case.ledger.custody.custody(CASE)
    previous = next((case.folder / "seals").glob(f"{number - 1:06d}@*.dsse.json")).read_bytes()
    statement = build_statement(
        manifests,
        events,
        number=number,
        previous=sha256(previous).hexdigest(),
        documents=documents,
        timestamp="none",
    )
    path = case.folder / "seals" / envelope_name(number, statement.predicate.custody.head)
    _write(path, sign_statement(statement, signer.signer))  # type: ignore[attr-defined]
    _write(case.folder / "keys" / key_name(signer.key.keyid), signer.key.pem)  # type: ignore[attr-defined]
    return path


@pytest.mark.parametrize("item", ["gone", "grown"])
def test_nothing_is_sealed_on_top_of_an_item_that_is_not_there_as_it_was(sealed: SealedCase, item: str) -> None:
    path = sealed.folder / "artefacts" / "web-1.routes@routes.json"
    path.unlink() if item == "gone" else _write(path, path.read_bytes() + b"x")
    sealed.register(make_item(sealed.vault, "late"))
    with pytest.raises(SealBroken, match=r"not sealed again: web-1\.routes: "):
        sealed.seal()


def test_an_envelope_that_another_key_signed_is_never_adopted(sealed: SealedCase) -> None:
    """Told of and not there yet, as a crash leaves it: whoever comes first with an envelope is not believed."""
    stranger = a_signer()
    report = sealed.folder / "documents" / "report.html"
    signed_anew(sealed, 3, {"report.html": sha256(report.read_bytes()).hexdigest()}, stranger)
    with pytest.raises(SealBroken, match=f"is signed with the key {stranger.key.keyid}, which is none of those"):
        sealed.seal()


def test_an_envelope_laid_in_the_way_of_the_next_seal_is_refused(sealed: SealedCase) -> None:
    """Its number alone is no proof of it."""
    stranger = a_signer()
    last = open_envelope(next((sealed.folder / "seals").glob("000002@*.dsse.json")).read_bytes()).statement
    _write(sealed.folder / "seals" / "000003@0123456789abcdef.dsse.json", sign_statement(last, stranger.signer))
    sealed.register(make_item(sealed.vault, "late"))
    with pytest.raises(SealBroken, match="000003@0123456789abcdef"):
        sealed.seal()
    assert seal_event_id(3) not in {event.event_id for event in sealed.ledger.custody.custody(CASE)}


def test_a_clock_that_was_ahead_is_told_of_and_breaks_nothing(
    stamped: SealedCase, authority: StampingAuthority
) -> None:
    authority.clock = timedelta(hours=-1)
    stamped.seal()
    stamped.stamp(1)
    verdict = stamped.verify()
    assert verdict.ok
    assert any("the clock of who sealed was ahead" in warning for warning in verdict.warnings)
