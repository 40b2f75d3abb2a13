"""Verification names what was tampered with; each test tampers with one thing."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from activities.contracts.custody import CaseVerdict
from activities.evidence.vault.layout import Head, case_folder
from activities.evidence.vault.local import LocalVault
from activities.evidence.verify import verify_case_directory
from activities.ledger.ledger import Ledger
from playbooks.canonical import canonical, digest
from tests.activities.evidence.conftest import Register
from tests.activities.evidence.items import CASE, absent_item, make_item


@pytest.fixture
def case(vault: LocalVault, register: Register) -> Path:
    """Three items and one absence, registered."""
    items = [make_item(vault, label) for label in ("sockets", "processes", "routes")]
    register(*items, absent_item("conntrack"))
    return case_folder(vault.root, CASE)


def rewrite(path: Path, content: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(content)


def flip(path: Path, position: int = 5) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    rewrite(path, bytes(content))


def link(case: Path, chain: str, number: int) -> Path:
    return next((case / chain).glob(f"{number:06d}@*"))


def test_untouched_case_verifies_also_from_a_copy_alone(case: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / CASE
    shutil.copytree(case, copy)
    verdict = verify_case_directory(copy)
    told = f"4 items and 7 custody events are in no seal, from manifests/{link(case, 'manifests', 1).name} on"
    assert verdict == CaseVerdict(items=4, verified=4, ok=True, unsealed=11, warnings=(told,))


def test_flipped_bit_names_the_item_and_both_digests(case: Path) -> None:
    flip(case / "artefacts" / "web-1.processes@processes.json")
    verdict = verify_case_directory(case)
    assert (verdict.ok, verdict.items, verdict.verified) == (False, 4, 3)
    assert verdict.first_failure.startswith("web-1.processes: expected sha256 ")
    assert ", found " in verdict.first_failure


def remove_artefact(case: Path) -> None:
    (case / "artefacts" / "web-1.routes@routes.json").unlink()


def grow_artefact(case: Path) -> None:
    path = case / "artefacts" / "web-1.routes@routes.json"
    rewrite(path, path.read_bytes() + b"x")


def link_artefact(case: Path) -> None:
    path = case / "artefacts" / "web-1.routes@routes.json"
    path.rename(case / "elsewhere")
    path.symlink_to(case / "elsewhere")


def change_manifest(case: Path) -> None:
    path = link(case, "manifests", 2)
    rewrite(path, path.read_bytes().replace(b"isolated", b"released"))


def reformat_manifest(case: Path) -> None:
    path = link(case, "manifests", 2)
    rewrite(path, json.dumps(json.loads(path.read_bytes()), indent=1).encode())


def break_manifest(case: Path) -> None:
    rewrite(link(case, "manifests", 3), b"{")


def cut_manifests(case: Path) -> None:
    link(case, "manifests", 4).unlink()


def drop_manifest(case: Path) -> None:
    link(case, "manifests", 2).unlink()


def swap_manifests(case: Path) -> None:
    second, third = link(case, "manifests", 2), link(case, "manifests", 3)
    contents = second.read_bytes(), third.read_bytes()
    rewrite(second, contents[1])
    rewrite(third, contents[0])


def repeat_manifest(case: Path) -> None:
    shutil.copy(link(case, "manifests", 4), case / "manifests" / "000005@again.json")


def cut_custody(case: Path) -> None:
    link(case, "custody", 7).unlink()


def change_custody(case: Path) -> None:
    path = link(case, "custody", 3)
    rewrite(path, path.read_bytes().replace(b"agent:web", b"agent:app"))


def remove_head(case: Path) -> None:
    (case / "head.json").unlink()


def lower_head(case: Path) -> None:
    head = json.loads((case / "head.json").read_bytes())
    rewrite(case / "head.json", canonical(head | {"manifests": 3}))


def reformat_head(case: Path) -> None:
    rewrite(case / "head.json", json.dumps(json.loads((case / "head.json").read_bytes())).encode())


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (remove_artefact, r"web-1\.routes: expected artefacts/web-1\.routes@routes\.json, found nothing"),
        (grow_artefact, r"web-1\.routes: expected 600 bytes, found 601"),
        (link_artefact, r"web-1\.routes: .*can't be opened as a file"),
        (change_manifest, r"manifests/000002@.*expected sha256 .* as the next link says"),
        (reformat_manifest, r"manifests/000002@.*not in the canonical form"),
        (break_manifest, r"manifests/000003@.*can't be read"),
        (cut_manifests, r"manifests/000004: missing, head\.json says there are 4, found 3"),
        (drop_manifest, r"manifests/000002: expected a link of this place, found 000003@"),
        (swap_manifests, r"manifests/000002@.*expected place 2 of the chain, found 3"),
        (repeat_manifest, r"manifests/000005@again.*expected place 5"),
        (cut_custody, r"custody/000007: missing, head\.json says there are 7, found 6"),
        (change_custody, r"custody/000003@.*expected sha256 .* as the next link says"),
        (remove_head, r"head\.json: expected one, found nothing"),
        (lower_head, r"manifests/000004@.*: head\.json says there are 3, found 4"),
        (reformat_head, r"head\.json: can't be read: .*canonical form"),
    ],
)
def test_tampering_is_found_and_named(case: Path, tamper: Callable[[Path], None], says: str) -> None:
    tamper(case)
    verdict = verify_case_directory(case)
    assert not verdict.ok
    assert re.search(says, verdict.first_failure), verdict.first_failure


def test_case_under_another_name_does_not_verify(case: Path) -> None:
    other = case.rename(case.with_name("inc-2"))
    assert "expected case inc-2" in verify_case_directory(other).first_failure


def test_whole_case_rewritten_without_its_last_item_is_found_by_the_ledger(
    case: Path, verify: Callable[[], CaseVerdict], ledger: Ledger
) -> None:
    """Who can write to the vault can shorten chain and head together: the ledger knows better."""
    manifests, events = ledger.custody.manifests(CASE)[:3], ledger.custody.custody(CASE)[:6]
    cut_manifests(case)
    cut_custody(case)
    head = Head(
        case_id=CASE,
        manifests=3,
        manifest_head=digest(manifests[-1]).removeprefix("sha256:"),
        custody=6,
        custody_head=digest(events[-1]).removeprefix("sha256:"),
    )
    rewrite(case / "head.json", canonical(head))
    assert verify_case_directory(case).ok
    assert "expected what the ledger holds" in verify().first_failure


def test_failed_verification_leaves_the_vault_as_it_was_found(
    case: Path, verify: Callable[[], CaseVerdict], ledger: Ledger
) -> None:
    cut_manifests(case)
    before = sorted(str(path) for path in case.rglob("*"))
    assert not verify().ok
    assert sorted(str(path) for path in case.rglob("*")) == before
    assert ledger.custody.custody(CASE)[-1].action == "verify"


def test_artefact_that_was_never_registered_is_named_and_no_failure(case: Path, vault: LocalVault) -> None:
    make_item(vault, "late")
    verdict = verify_case_directory(case)
    assert (verdict.ok, verdict.unregistered) == (True, ("web-1.late/late.json",))
