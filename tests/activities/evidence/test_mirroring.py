"""The ledger's chains and their copy: a healthy case never fails for what happens beside it, an altered one does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from activities.contracts.custody import CaseVerdict
from activities.contracts.evidence import Retention
from activities.evidence import custody
from activities.evidence.holding import Holds
from activities.evidence.mirroring import head_of
from activities.evidence.register import EvidenceRegistry
from activities.evidence.vault.directory import DirectoryCase
from activities.evidence.vault.layout import case_folder
from activities.evidence.vault.local import LocalVault
from activities.ledger.ledger import Ledger
from playbooks.canonical import canonical
from tests.activities.evidence.conftest import Register
from tests.activities.evidence.items import CASE, make_item

Verify = Callable[[], CaseVerdict]
ITEM = "web-1.sockets"


@pytest.fixture
def case(vault: LocalVault, register: Register) -> Path:
    register(make_item(vault, "sockets"))
    return case_folder(vault.root, CASE)


def access(registry: EvidenceRegistry) -> None:
    registry.record(CASE, ITEM, action="access", actor="user:ada", purpose="look")


@contextmanager
def while_custody_is_read(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> Iterator[None]:
    documents = DirectoryCase.documents

    def slowly(self: DirectoryCase, folder: str) -> list[str]:
        found = documents(self, folder)  # type: ignore[arg-type]
        if folder == "custody":
            happens()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(DirectoryCase, "documents", slowly)
        yield


def test_an_event_during_a_long_verification_is_no_failure(
    case: Path, registry: EvidenceRegistry, verify: Verify, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chain_alone() -> None:
        build = custody.event(CASE, evidence_id=None, action="access", actor="a", at=datetime.now(UTC), purpose="p")
        ledger.custody.append_custody(CASE, build)

    with while_custody_is_read(monkeypatch, chain_alone):
        verdict = verify()
    assert verdict.ok, verdict.first_failure
    access(registry)
    assert verify().ok


def test_nobody_reads_a_case_between_an_event_and_its_copy(
    case: Path, registry: EvidenceRegistry, vault: LocalVault, ledger: Ledger
) -> None:
    with vault.locked(CASE):
        before = len(ledger.custody.custody(CASE))
        thread = threading.Thread(target=access, args=(registry,))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        assert len(ledger.custody.custody(CASE)) == before
    thread.join(10)
    assert len(list((case / "custody").iterdir())) == before + 1


def test_a_failure_that_was_mended_is_none_any_more(case: Path, verify: Verify, registry: EvidenceRegistry) -> None:
    artefact = case / "artefacts" / "web-1.sockets@sockets.json"
    artefact.rename(case / "away")
    for _ in range(2):
        assert "web-1.sockets" in verify().first_failure
    (case / "away").rename(artefact)
    assert verify().ok
    access(registry)
    assert verify().ok


def roll_back(case: Path, ledger: Ledger, events: int) -> None:
    """As whoever can write to the vault takes its newest events away, so that all hashes agree."""
    for path in sorted((case / "custody").iterdir())[events:]:
        path.unlink()
    head = head_of(CASE, ledger.custody.manifests(CASE), ledger.custody.custody(CASE)[:events])
    (case / "head.json").write_bytes(canonical(head))


@pytest.mark.parametrize("after_a_failure", [False, True])
def test_a_vault_that_lost_its_newest_events_is_named(
    case: Path, verify: Verify, registry: EvidenceRegistry, ledger: Ledger, *, after_a_failure: bool
) -> None:
    access(registry)
    if after_a_failure:
        registry.tell_ledger(CASE, action="verify", actor="user:ada", purpose="failed")
    roll_back(case, ledger, 2)
    for _ in range(2):
        assert "expected what the ledger holds" in verify().first_failure


def test_a_verification_that_was_taken_out_of_the_vault_is_missed(case: Path, verify: Verify, ledger: Ledger) -> None:
    assert verify().ok
    roll_back(case, ledger, 2)
    assert "expected what the ledger holds, 1 manifests and 3 custody events, found 1 and 2" in verify().first_failure


def test_an_event_costs_no_look_at_those_before_it(
    case: Path, registry: EvidenceRegistry, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        access(registry)
    read: list[int] = []
    everything = ledger.custody.custody

    def counted(case_id: str, after: int = 0) -> list[object]:
        found = everything(case_id, after)
        read.append(len(found))
        return list(found)

    def refuse(_self: object, folder: str) -> list[str]:
        raise AssertionError(folder)

    monkeypatch.setattr(ledger.custody, "custody", counted)
    monkeypatch.setattr(DirectoryCase, "documents", refuse)
    access(registry)
    assert read == [2]


@pytest.mark.parametrize("head", [None, b"no head"])
def test_without_a_head_the_copy_is_completed_all_the_same(
    case: Path, registry: EvidenceRegistry, verify: Verify, head: bytes | None
) -> None:
    access(registry)
    (case / "head.json").unlink()
    if head:
        (case / "head.json").write_bytes(head)
    next((case / "custody").glob("000003@*")).unlink()
    access(registry)
    assert verify().ok


def test_a_hold_that_comes_while_an_item_is_chained_reaches_it(
    vault: LocalVault, registry: EvidenceRegistry, register: Register, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(make_item(vault, "routes"))
    holds, append = Holds(registry, ledger.custody, vault), ledger.custody.append_manifest

    def held_meanwhile(*given: object) -> object:
        build = custody.event(CASE, evidence_id=None, action="hold", actor="user:b", at=datetime.now(UTC), purpose="p")
        ledger.custody.append_custody(CASE, build)
        return append(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(ledger.custody, "append_manifest", held_meanwhile)
    register(make_item(vault, "sockets"))
    assert vault.retain(CASE, ITEM, Retention()).legal_hold
    assert holds.standing(CASE).case == ("user:b",)
