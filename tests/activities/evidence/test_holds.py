"""Legal holds: nobody erases another's, and a release that was cut short is completed."""

import pytest

from activities.contracts.evidence import CollectedItem, Retention
from activities.evidence.errors import HoldRefused, VaultUnavailable
from activities.evidence.holding import Holds
from activities.evidence.register import EvidenceRegistry
from activities.evidence.vault.local import LocalVault
from activities.ledger.ledger import Ledger
from tests.activities.evidence.conftest import Register
from tests.activities.evidence.items import CASE, make_item

ITEM = "web-1.sockets"


@pytest.fixture
def item(vault: LocalVault, register: Register) -> CollectedItem:
    made = make_item(vault, "sockets")
    register(made)
    return made


@pytest.fixture
def holds(registry: EvidenceRegistry, ledger: Ledger, vault: LocalVault, item: CollectedItem) -> Holds:
    return Holds(registry, ledger.custody, vault)


def is_held(vault: LocalVault) -> bool:
    return vault.retain(CASE, ITEM, Retention()).legal_hold


@pytest.mark.parametrize("evidence_id", [None, ITEM])
def test_none_of_those_who_set_a_hold_can_lift_it(holds: Holds, vault: LocalVault, evidence_id: str | None) -> None:
    for actor in ("user:ada", "user:ben", "user:ada"):
        holds.set(CASE, evidence_id, actor=actor, purpose="court order 7")
    assert holds.standing(CASE).holders(evidence_id) == ("user:ada", "user:ben")
    for actor in ("user:ada", "user:ben"):
        with pytest.raises(HoldRefused, match="can't lift it"):
            holds.lift(CASE, evidence_id, actor=actor, purpose="over")
    assert is_held(vault)
    assert not holds.lift(CASE, evidence_id, actor="user:cleo", purpose="over").holders(evidence_id)
    assert not is_held(vault)


def test_a_release_that_was_cut_short_is_completed_by_asking_again(
    holds: Holds, vault: LocalVault, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise VaultUnavailable("the disk is gone")

    holds.set(CASE, ITEM, actor="user:ada", purpose="court order 7")
    with monkeypatch.context() as patched:
        patched.setattr(vault, "hold", die)
        with pytest.raises(VaultUnavailable):
            holds.lift(CASE, ITEM, actor="user:ben", purpose="over")
    assert is_held(vault)
    length = len(ledger.custody.custody(CASE))
    holds.lift(CASE, ITEM, actor="user:ben", purpose="over")
    assert not is_held(vault)
    assert len(ledger.custody.custody(CASE)) == length


def test_what_was_never_held_can_not_be_released(holds: Holds) -> None:
    with pytest.raises(HoldRefused, match="There is no hold"):
        holds.lift(CASE, ITEM, actor="user:ben", purpose="over")
