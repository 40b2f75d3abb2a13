"""Whether the items of a case stand before it is sealed again: one listing tells, whatever else is in it."""

import pytest

from activities.evidence.errors import SealBroken, VaultDenied
from activities.evidence.sealing.standing import check_standing
from activities.evidence.sealing.trust import Trust
from activities.evidence.vault.interface import Kept
from tests.activities.evidence.items import CASE, make_item
from tests.activities.evidence.sealed import SealedCase


@pytest.fixture
def case(unstamped: SealedCase) -> SealedCase:
    unstamped.register(*(make_item(unstamped.vault, label) for label in ("sockets", "processes", "routes")))
    unstamped.seal("first")
    unstamped.registry.record(CASE, None, action="access", actor="user:ada", purpose="triage")
    return unstamped


def asked(case: SealedCase, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which items are asked for by themselves from now on."""
    found, find = list[str](), case.vault.find

    def noting(case_id: str, evidence_id: str) -> Kept:
        found.append(evidence_id)
        return find(case_id, evidence_id)

    monkeypatch.setattr(case.vault, "find", noting)
    return found


def test_items_that_are_listed_as_expected_are_not_asked_for(case: SealedCase, monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(case, monkeypatch)
    chains, trust = case.ledger.custody, Trust().knowing(case.signer.key)
    seals = check_standing(case.vault, CASE, chains.manifests(CASE), chains.custody(CASE), trust)
    assert [ref.number for ref in seals.refs] == [1]
    assert found == []


def test_only_the_item_that_is_not_listed_as_expected_is_asked_for_and_named(
    case: SealedCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = asked(case, monkeypatch)
    next((case.folder / "artefacts").glob("web-1.processes@*")).unlink()
    with pytest.raises(SealBroken, match=r"web-1\.processes: There is no artefact web-1\.processes"):
        case.seal("second")
    assert found == ["web-1.processes"]


def test_stranger_among_the_items_stops_no_seal_and_hides_no_loss(case: SealedCase) -> None:
    (case.folder / "artefacts" / "nothing of ours").write_bytes(b"")
    assert case.seal("second").number == 2
    case.registry.record(CASE, None, action="access", actor="user:ada", purpose="triage")
    next((case.folder / "artefacts").glob("web-1.sockets@*")).unlink()
    with pytest.raises(SealBroken, match=r"web-1\.sockets: There is no artefact"):
        case.seal("third")


def test_second_file_of_an_item_stops_the_sealing(case: SealedCase) -> None:
    (case.folder / "artefacts" / "web-1.sockets@other.json").write_bytes(b"")
    with pytest.raises(SealBroken, match=r"web-1\.sockets: web-1\.sockets: expected one file, found 2"):
        case.seal("second")


def test_item_that_can_not_be_kept_longer_is_told_of_and_the_others_are_kept(
    unstamped: SealedCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This vault denies nobody, so one answer is given for it."""
    unstamped.register(*(make_item(unstamped.vault, label) for label in ("sockets", "processes", "routes")))
    retain, retained = unstamped.vault.retain, list[str]()

    def denying(case_id: str, evidence_id: str, *rest: object) -> object:
        if evidence_id == "web-1.processes":
            raise VaultDenied("S3 refused put_object_retention of web-1.processes: AccessDenied")
        retained.append(evidence_id)
        return retain(case_id, evidence_id, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(unstamped.vault, "retain", denying)
    assert unstamped.seal().problem.startswith("web-1.processes is not kept as sealed evidence is: S3 refused")
    assert sorted(retained) == ["web-1.routes", "web-1.sockets"]
