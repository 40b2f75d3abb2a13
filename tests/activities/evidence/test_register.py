"""Registering: what the chains say of items, and that a host's word is not enough."""

import json
from collections.abc import Callable

import pytest

from activities.contracts.custody import CaseVerdict
from activities.evidence.register import EvidenceRegistry
from activities.evidence.vault.layout import case_folder
from activities.evidence.vault.local import LocalVault
from activities.ledger.ledger import Ledger
from tests.activities.evidence.conftest import Register
from tests.activities.evidence.items import CASE, absent_item, make_item

Verify = Callable[[], CaseVerdict]


def test_items_are_chained_in_the_ledger_and_beside_their_bytes(
    register: Register, vault: LocalVault, ledger: Ledger
) -> None:
    registered = register(make_item(vault, "sockets"), make_item(vault, "processes"), absent_item("conntrack"))
    manifests = ledger.custody.manifests(CASE)
    assert registered.manifests == len(manifests) == 3
    assert [manifest.seq for manifest in manifests] == [1, 2, 3]
    names = sorted(path.name for path in (case_folder(vault.root, CASE) / "manifests").iterdir())
    assert names == [
        "000001@web-1.sockets.json",
        "000002@web-1.processes.json",
        "000003@web-1.conntrack.json",
    ]
    head = json.loads((case_folder(vault.root, CASE) / "head.json").read_bytes())
    assert (head["manifests"], head["manifest_head"]) == (3, registered.head)


def test_custody_begins_with_collecting_and_bringing_to_the_vault(
    register: Register, vault: LocalVault, ledger: Ledger
) -> None:
    item = make_item(vault, "sockets")
    register(item, absent_item("conntrack"))
    told = [(e.evidence_id, e.action, e.actor, e.hash_after) for e in ledger.custody.custody(CASE)]
    assert told == [
        ("web-1.sockets", "collect", "agent:web", item.sha256),
        ("web-1.sockets", "transfer", "worker:control", item.sha256),
        ("web-1.conntrack", "collect", "agent:web", None),
    ]


def test_registering_again_changes_nothing(register: Register, vault: LocalVault, verify: Verify) -> None:
    items = (make_item(vault, "sockets"), absent_item("conntrack"))
    first = register(*items)
    before = sorted((path.name, path.stat().st_ino) for path in case_folder(vault.root, CASE).rglob("*.json"))
    assert register(*items) == first
    after = sorted((path.name, path.stat().st_ino) for path in case_folder(vault.root, CASE).rglob("*.json"))
    assert [entry for entry in after if entry[0] != "head.json"] == [e for e in before if e[0] != "head.json"]
    assert verify().ok


def test_copy_beside_the_bytes_is_completed_after_a_crash_between(
    register: Register, registry: EvidenceRegistry, vault: LocalVault, verify: Verify
) -> None:
    items = (make_item(vault, "sockets"), make_item(vault, "processes"))
    register(*items)
    for path in (case_folder(vault.root, CASE) / "manifests").glob("000002*"):
        path.unlink()  # as if the worker had been killed after the ledger's commit: the head is written last
    (case_folder(vault.root, CASE) / "head.json").unlink()
    assert not verify().ok
    register(*items)
    assert verify().ok


def test_item_that_never_arrived_is_missing_whatever_the_host_says(
    register: Register, vault: LocalVault, ledger: Ledger, verify: Verify
) -> None:
    item = make_item(vault, "sockets")
    vault.case(CASE).path(item.evidence_id).unlink()
    register(item)
    known = ledger.custody.manifests(CASE)[0].item
    assert (known.outcome.state, known.storage) == ("missing", None)
    assert verify().ok


def test_item_of_other_bytes_than_the_host_says_is_failed_and_says_both(
    register: Register, vault: LocalVault, ledger: Ledger
) -> None:
    item = make_item(vault, "sockets")
    register(item.model_copy(update={"sha256": "0" * 64}))
    known = ledger.custody.manifests(CASE)[0].item
    assert known.outcome.state == "failed"
    assert "0" * 64 in known.outcome.reason
    assert known.sha256 == item.sha256


def test_result_that_nobody_signed_is_marked(register: Register, vault: LocalVault, ledger: Ledger) -> None:
    register(make_item(vault, "sockets"), attested=False)
    assert "not signed" in ledger.custody.manifests(CASE)[0].collector.role


def test_every_read_and_every_verification_is_an_event(
    register: Register, registry: EvidenceRegistry, vault: LocalVault, ledger: Ledger, verify: Verify
) -> None:
    item = make_item(vault, "sockets")
    register(item)
    for _ in range(2):
        registry.record(CASE, item.evidence_id, action="access", actor="user:ada", purpose="download")
    verify()
    told = [(event.action, event.actor) for event in ledger.custody.custody(CASE)][2:]
    assert told == [("access", "user:ada"), ("access", "user:ada"), ("verify", "user:ada")]
    assert verify().ok


def test_case_without_evidence_verifies_as_empty(register: Register, verify: Verify) -> None:
    register()
    verdict = verify()
    assert (verdict.ok, verdict.items) == (True, 0)


@pytest.mark.parametrize(("said", "told"), [({"size": 7}, "size 700, the host says 7"), ({"name": "x.bin"}, "x.bin")])
def test_item_of_another_size_or_name_than_the_host_says_is_failed_and_says_both(
    register: Register, vault: LocalVault, ledger: Ledger, verify: Verify, said: dict[str, object], told: str
) -> None:
    item = make_item(vault, "sockets")
    register(item.model_copy(update=said))
    known = ledger.custody.manifests(CASE)[0].item
    assert (known.outcome.state, known.size, known.name) == ("failed", item.size, item.name)
    assert told in known.outcome.reason
    assert verify().ok
