"""What a host says of its items is its word alone: nobody else's evidence may depend on it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from activities.contracts.custody import CaseVerdict
from activities.contracts.evidence import CollectedItem, Outcome
from activities.evidence.register import EvidenceRegistry, retention_of
from activities.evidence.vault.layout import artefact_name, case_folder, host_prefix
from activities.evidence.vault.local import LocalVault
from activities.ledger.ledger import Ledger
from playbooks.forensics import RetentionSpec
from segmentation.workloads import Workload
from tests.activities.evidence.conftest import Register
from tests.activities.evidence.items import AT, CASE, absent_item, make_item

Verify = Callable[[], CaseVerdict]
WEB = Workload(workload_id="9f2c", name="web-1")


def ids(ledger: Ledger) -> list[str]:
    return [manifest.item.evidence_id for manifest in ledger.custody.manifests(CASE)]


def named(item: CollectedItem, evidence_id: str) -> CollectedItem:
    return item.model_copy(update={"evidence_id": evidence_id})


def ended(item: CollectedItem, at: datetime) -> CollectedItem:
    return item.model_copy(update={"acquisition": item.acquisition.model_copy(update={"ended": at})})


def test_an_item_of_another_host_is_not_chained_and_costs_its_neighbours_nothing(
    register: Register, ledger: Ledger, verify: Verify
) -> None:
    mine = f"{host_prefix(WEB.name, WEB.workload_id)}sockets"
    foreign = f"{host_prefix('db-1', '77aa')}sockets"
    registered = register(named(absent_item("a"), foreign), named(absent_item("b"), mine), owner=WEB)
    assert ids(ledger) == [mine]
    assert registered.refused == (foreign,)
    assert registered.problems == (f"{foreign} is no item of agent:web: not chained",)
    assert verify().ok


def test_no_host_can_spell_the_prefix_of_another() -> None:
    assert not host_prefix("ip-10-0-1-23.eu", "b").startswith(host_prefix("ip-10-0-1", "23"))
    prefixes = [host_prefix(name, "id") for name in ("a.b-c", "a", "a.b", "x" * 60, "x.y" * 20)]
    assert all(prefix.count(".") == 1 and prefix.endswith(".") for prefix in prefixes)
    assert len({host_prefix("a", host_id) for host_id in ("12345678-1", "12345678-2")}) == 2


def test_an_item_that_comes_late_is_chained_under_an_id_of_its_own(
    register: Register, ledger: Ledger, vault: LocalVault, verify: Verify
) -> None:
    item = make_item(vault, "sockets")
    lost = Outcome(state="failed", reason="collected, but not in the vault")
    register(item.model_copy(update={"storage": None, "outcome": lost}))
    registered = register(item, make_item(vault, "processes"))
    assert ids(ledger) == ["web-1.sockets", "web-1.sockets.2", "web-1.processes"]
    late = ledger.custody.manifests(CASE)[1]
    assert (late.derived_from, late.item.outcome.state) == (("web-1.sockets",), "collected")
    assert registered.problems == ("web-1.sockets came after its manifest: it is chained as web-1.sockets.2",)
    assert verify().ok
    assert register(item).manifests == 3


def test_other_content_under_a_known_id_is_said_and_its_neighbours_are_chained(
    register: Register, ledger: Ledger, vault: LocalVault, verify: Verify
) -> None:
    item = make_item(vault, "sockets")
    register(item)
    changed = item.model_copy(update={"outcome": Outcome(state="empty")})
    registered = register(changed, make_item(vault, "processes"))
    assert ids(ledger) == ["web-1.sockets", "web-1.processes"]
    assert "chained with other content" in registered.problems[0]
    assert verify().ok


def test_an_item_that_can_not_be_read_back_fails_alone(register: Register, ledger: Ledger, vault: LocalVault) -> None:
    item = make_item(vault, "sockets")
    twin = case_folder(vault.root, CASE) / "artefacts" / artefact_name(item.evidence_id, "other.json")
    twin.write_bytes(b"put there by somebody else")
    register(item.model_copy(update={"evidence_id": "a" * 120}), item, make_item(vault, "processes"))
    assert ids(ledger) == ["a" * 120, "web-1.sockets", "web-1.processes"]
    assert ledger.custody.manifests(CASE)[2].item.outcome.state == "collected"


@pytest.mark.parametrize(("said", "expected"), [(datetime.max, 0), (datetime(1970, 1, 1), 2)])  # noqa: DTZ001, DTZ901
def test_a_hosts_clock_does_not_decide_how_long_its_evidence_is_kept(
    vault: LocalVault, said: datetime, expected: int
) -> None:
    now = datetime.now(UTC)
    item = ended(make_item(vault, "sockets"), said.replace(tzinfo=UTC))
    until = retention_of(RetentionSpec(days=30), item, sealed=False).until
    assert until is not None
    assert abs(until - now - timedelta(days=30 - expected)) < timedelta(minutes=1)


def test_a_time_without_a_zone_is_no_time(vault: LocalVault) -> None:
    item = make_item(vault, "sockets").model_dump()
    item["acquisition"]["ended"] = AT.replace(tzinfo=None)
    with pytest.raises(ValidationError, match="timezone"):
        CollectedItem.model_validate(item)


def test_what_is_chained_already_is_not_read_again(
    register: Register, registry: EvidenceRegistry, vault: LocalVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counter stands before the real vault."""
    reads: list[str] = []
    reading = vault.case

    def counted(case_id: str) -> object:
        reader = reading(case_id)
        read = reader.read

        def noted(evidence_id: str, *span: int) -> Iterator[bytes]:
            reads.append(evidence_id)
            return read(evidence_id, *span)

        monkeypatch.setattr(reader, "read", noted)
        return reader

    first = make_item(vault, "sockets")
    register(first)
    monkeypatch.setattr(vault, "case", counted)
    register(first, make_item(vault, "processes"))
    assert reads == ["web-1.processes"]
    assert Path(vault.root).exists()
    assert registry.mirror(CASE).manifests == 2
