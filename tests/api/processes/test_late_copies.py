"""The worker copies what was chained while the vault was away, and leaves alone what was altered."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from activities.evidence.errors import VaultUnavailable
from activities.evidence.register import EvidenceRegistry
from activities.evidence.vault.local import LocalVault
from activities.ledger.ledger import Ledger
from api.processes.late_copies import copy_late_documents, copy_round
from tests.activities.ledger.test_custody import event


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.db")
    yield opened
    opened.close()


@pytest.fixture
def vault(tmp_path: Path) -> LocalVault:
    return LocalVault(tmp_path / "vault")


def of_case(case_id: str) -> Callable[..., object]:
    return lambda seq, prev: event("collect")(seq, prev).model_copy(update={"case_id": case_id})


def chain(ledger: Ledger, *cases: str) -> None:
    """In the ledger alone, as when the vault was away."""
    for case_id in cases:
        ledger.custody.append_custody(case_id, of_case(case_id))  # type: ignore[arg-type]


def copied(vault: LocalVault, case_id: str) -> int:
    return len(vault.case(case_id).documents("custody"))


async def test_what_is_late_is_copied_as_soon_as_the_vault_is_there(
    ledger: Ledger, vault: LocalVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(ledger, "inc-1")
    asked: list[str] = []
    loop, done, note = asyncio.get_running_loop(), asyncio.Event(), ledger.custody.copies.note

    def noted(case_id: str, *, manifests: int, custody: int) -> None:
        note(case_id, manifests=manifests, custody=custody)
        loop.call_soon_threadsafe(done.set)

    monkeypatch.setattr(ledger.custody.copies, "note", noted)

    def opened() -> LocalVault:
        asked.append("vault")
        if len(asked) < 3:
            raise VaultUnavailable("The bucket does not answer.")
        return vault

    task = asyncio.create_task(copy_late_documents(ledger.custody, opened, every_seconds=0.01))
    async with asyncio.timeout(10):
        await done.wait()
    task.cancel()
    assert (copied(vault, "inc-1"), ledger.custody.copies.behind(), len(asked)) == (1, [], 3)


def test_a_case_that_was_altered_is_said_and_not_in_the_way_of_another(ledger: Ledger, vault: LocalVault) -> None:
    chain(ledger, "inc-1")
    EvidenceRegistry(ledger.custody, vault).mirror("inc-1")
    chain(ledger, "inc-2")
    ledger.custody.append_custody("inc-1", event("access"))
    next((vault.root / "case" / "inc-1" / "custody").iterdir()).unlink()
    with capture_logs() as logs:
        copy_round(ledger.custody, lambda: vault)
    assert (copied(vault, "inc-1"), copied(vault, "inc-2")) == (0, 1)
    assert [(line["log_level"], line["case"]) for line in logs] == [("error", "inc-1")]


def test_a_vault_is_not_opened_for_nothing(ledger: Ledger, vault: LocalVault) -> None:
    chain(ledger, "inc-1")
    EvidenceRegistry(ledger.custody, vault).mirror("inc-1")

    def refuse() -> LocalVault:
        raise AssertionError

    copy_round(ledger.custody, refuse)
