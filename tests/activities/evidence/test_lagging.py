"""A copy that lags behind the ledger is told apart from one that was cut short."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from activities.contracts.custody import CaseVerdict
from activities.evidence.agreement import copy_late
from activities.evidence.errors import VaultUnavailable
from activities.evidence.mirroring import head_of
from activities.evidence.register import EvidenceRegistry
from activities.evidence.vault.layout import case_folder
from activities.evidence.vault.local import LocalVault
from activities.ledger.ledger import Ledger
from playbooks.canonical import canonical
from tests.activities.evidence.conftest import Register
from tests.activities.evidence.items import CASE, make_item
from tests.activities.evidence.sealed import SealedCase

Verify = Callable[[], CaseVerdict]
LAGS = "The vault's copy lags behind the ledger by {} documents"
LAGGED = "The vault's copy lagged behind the ledger by {} documents"


@pytest.fixture
def case(vault: LocalVault, register: Register) -> Path:
    """Copied with one manifest and two events."""
    register(make_item(vault, "sockets"))
    return case_folder(vault.root, CASE)


def access(registry: EvidenceRegistry) -> None:
    registry.record(CASE, "web-1.sockets", action="access", actor="user:ada", purpose="look")


@contextmanager
def away(monkeypatch: pytest.MonkeyPatch, after: int = 0) -> Iterator[None]:
    """A vault that takes so many writes and then none, as a bucket that goes away; no disk does so when asked to."""
    taken = 0

    def bounded(real: Callable[..., object]) -> Callable[..., object]:
        def write(*given: object) -> object:
            nonlocal taken
            taken += 1
            if taken > after:
                raise VaultUnavailable("The bucket does not answer.")
            return real(*given)

        return write

    with monkeypatch.context() as patched:
        for name in ("put_document", "put_head"):
            patched.setattr(LocalVault, name, bounded(getattr(LocalVault, name)))
        yield


def chained_while_away(registry: EvidenceRegistry, monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
    for _ in range(times):
        with away(monkeypatch), pytest.raises(VaultUnavailable):
            access(registry)


def told(verdict: CaseVerdict, words: str) -> bool:
    return any(warning.startswith(words) for warning in verdict.warnings)


@pytest.mark.usefixtures("case")
def test_a_copy_that_lags_is_no_failure_and_says_by_how_much_since_when(
    registry: EvidenceRegistry, verify: Verify, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    chained_while_away(registry, monkeypatch, 2)
    copied = ledger.custody.copies.find(CASE)
    assert copied is not None
    verdict = verify()
    assert (verdict.ok, verdict.reason, verdict.behind) == (True, "", 2), verdict.first_failure
    assert told(verdict, f"{LAGGED.format(2)}; the last copy was at {copied.at:%Y-%m-%d %H:%M:%S} UTC.")
    again = verify()
    assert (again.ok, again.behind, told(again, "The vault's copy")) == (True, 0, False)


@pytest.mark.parametrize("after", range(5))
def test_wherever_the_vault_goes_away_the_rest_is_lag(
    case: Path,
    vault: LocalVault,
    register: Register,
    verify: Verify,
    after: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The manifest, its two events, the head, and again the head: each write is the first that fails once."""
    item = make_item(vault, "routes")
    with away(monkeypatch, after), pytest.raises(VaultUnavailable):
        register(item)
    before = sorted(case.rglob("*"))
    with away(monkeypatch):
        verdict = verify()
    assert sorted(case.rglob("*")) == before
    left = 4 if after < 4 else 1
    assert (verdict.ok, told(verdict, LAGS.format(left)), verdict.unregistered) == (True, True, ()), verdict
    assert verify().ok
    final = verify()
    assert (final.ok, final.items, final.behind) == (True, 2, 0)


def test_a_case_of_which_nothing_was_copied_yet_lags_as_a_whole(
    vault: LocalVault, register: Register, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = make_item(vault, "sockets")
    with away(monkeypatch), pytest.raises(VaultUnavailable):
        register(item)
    with away(monkeypatch):
        verdict = verify()
    assert (verdict.ok, verdict.behind, verdict.items) == (True, 3, 0)
    assert told(verdict, f"{LAGS.format(4)}; none was made yet.")
    assert verify().behind == 4
    assert verify().items == 1


def roll_back(case: Path, ledger: Ledger, manifests: int, events: int) -> None:
    """As whoever can write to the vault takes its newest links away, so that all hashes agree."""
    for folder, length in (("manifests", manifests), ("custody", events)):
        for path in sorted((case / folder).iterdir())[length:]:
            path.unlink()
    head = head_of(CASE, ledger.custody.manifests(CASE)[:manifests], ledger.custody.custody(CASE)[:events])
    (case / "head.json").write_bytes(canonical(head))


@pytest.mark.parametrize("left", [(1, 3), (1, 2), (0, 0)])
def test_a_chain_that_was_cut_while_the_copy_lags_is_named(
    case: Path,
    registry: EvidenceRegistry,
    verify: Verify,
    ledger: Ledger,
    left: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    access(registry)
    access(registry)
    chained_while_away(registry, monkeypatch)
    roll_back(case, ledger, *left)
    for _ in range(2):
        verdict = verify()
        assert (verdict.ok, verdict.reason) == (False, "broken")
        assert "1 and 4 were copied by" in verdict.first_failure


def test_a_case_that_was_taken_away_as_a_whole_is_named(
    case: Path, registry: EvidenceRegistry, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    chained_while_away(registry, monkeypatch)
    case.rename(case.with_name("away"))
    assert not verify().ok


def test_a_head_that_was_set_back_is_named_though_the_copy_lags(
    case: Path, registry: EvidenceRegistry, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = (case / "head.json").read_bytes()
    access(registry)
    chained_while_away(registry, monkeypatch)
    (case / "head.json").write_bytes(earlier)
    assert "head.json says there are 2, found 3" in verify().first_failure


@pytest.mark.parametrize("with_head", [False, True])
def test_a_document_laid_where_a_late_one_will_be_is_named(
    case: Path,
    registry: EvidenceRegistry,
    verify: Verify,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    *,
    with_head: bool,
) -> None:
    chained_while_away(registry, monkeypatch)
    events = ledger.custody.custody(CASE)
    events[-1] = events[-1].model_copy(update={"purpose": "none of your business"})
    (case / "custody" / f"000003@{events[-1].event_id}.json").write_bytes(canonical(events[-1]))
    if with_head:
        (case / "head.json").write_bytes(canonical(head_of(CASE, ledger.custody.manifests(CASE), events)))
    verdict = verify()
    expected = "expected what the ledger holds" if with_head else "custody/000003@"
    assert (verdict.ok, expected in verdict.first_failure) == (False, True), verdict.first_failure


def test_a_timestamp_that_is_kept_and_not_told_of_yet_is_late_and_not_wrong(
    sealed: SealedCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    from activities.contracts.custody import VerifyCase

    sealed.register(make_item(sealed.vault, "late"))
    sealed.seal()
    with away(monkeypatch, after=1), pytest.raises(VaultUnavailable):
        sealed.stamp(3)
    assert len(list((sealed.folder / "seals").glob("*.tsr"))) == 3
    request = VerifyCase(incident_id=CASE, actor="user:ada", purpose="test")
    verdict = sealed.registry.verify_case(request)
    assert (verdict.ok, verdict.behind, verdict.timestamp) == (True, 1, "pending"), verdict.first_failure
    assert sealed.registry.verify_case(request).timestamp == "held"


@pytest.mark.usefixtures("case")
def test_a_late_copy_is_completed_without_another_event(
    vault: LocalVault, registry: EvidenceRegistry, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, verify: Verify
) -> None:
    chained_while_away(registry, monkeypatch)
    assert ledger.custody.copies.behind() == [CASE]
    with away(monkeypatch), pytest.raises(VaultUnavailable):
        copy_late(ledger.custody, vault, CASE)
    assert copy_late(ledger.custody, vault, CASE) == ""
    assert ledger.custody.copies.behind() == []
    assert verify().behind == 0


def test_a_copy_that_was_altered_is_not_completed_by_itself(
    case: Path, vault: LocalVault, registry: EvidenceRegistry, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    access(registry)
    chained_while_away(registry, monkeypatch)
    roll_back(case, ledger, 1, 2)
    before = sorted(case.rglob("*"))
    assert "1 and 3 were copied by" in copy_late(ledger.custody, vault, CASE)
    assert sorted(case.rglob("*")) == before


def test_what_is_for_the_ledger_alone_is_not_late(
    case: Path, vault: LocalVault, registry: EvidenceRegistry, ledger: Ledger, verify: Verify
) -> None:
    registry.tell_ledger(CASE, action="verify", actor="user:ada", purpose="failed")
    before = sorted(case.rglob("*"))
    assert copy_late(ledger.custody, vault, CASE) == ""
    assert sorted(case.rglob("*")) == before
    assert (verify().ok, verify().behind) == (True, 0)
