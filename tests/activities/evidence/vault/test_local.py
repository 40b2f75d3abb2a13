"""A vault in a directory: once, whole, and never again."""

import hashlib
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from activities.evidence.errors import (
    VaultConflict,
    VaultMismatch,
    VaultMissing,
    VaultRefused,
)
from activities.evidence.vault.interface import Kept
from activities.evidence.vault.local import LocalVault

CONTENT = b"evidence" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def files(vault: LocalVault) -> list[str]:
    """Everything that looks like an item or a leftover, without the blobs and the vault's own records."""
    found = (path.relative_to(vault.root) for path in vault.root.rglob("*") if path.is_file())
    return sorted(
        str(path)
        for path in found
        if path.suffix != ".lock" and path.parts[0] != "blobs" and "storage" not in path.parts
    )


def blobs(vault: LocalVault) -> list[Path]:
    return [path for path in (vault.root / "blobs").rglob("*") if path.is_file()]


def path_of(vault: LocalVault, case_id: str = "inc-1", evidence_id: str = "e1") -> Path:
    return vault.case(case_id).path(evidence_id)


def put(
    vault: LocalVault,
    content: bytes = CONTENT,
    case_id: str = "inc-1",
    evidence_id: str = "e1",
    name: str = "a.bin",
) -> str:
    digest = hashlib.sha256(content).hexdigest()
    return vault.put_stream(case_id, evidence_id, name, [content], sha256=digest, size=len(content)).uri


def test_item_is_kept_as_it_came_and_can_not_be_written(vault: LocalVault) -> None:
    storage = vault.put_stream("inc-1", "e1", "a.bin", [CONTENT[:10], CONTENT[10:]], sha256=DIGEST)
    path = path_of(vault)
    assert (storage.uri, storage.checksum, storage.lock_mode) == (path.as_uri(), DIGEST, "write-once")
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert b"".join(vault.case("inc-1").read("e1")) == CONTENT
    assert vault.find("inc-1", "e1") == Kept(evidence_id="e1", name="a.bin", size=len(CONTENT))
    assert files(vault) == ["case/inc-1/artefacts/e1@a.bin"]


def test_same_bytes_again_are_no_change(vault: LocalVault) -> None:
    first = put(vault)
    before = path_of(vault).stat()
    assert put(vault) == first
    assert path_of(vault).stat().st_ino == before.st_ino


@pytest.mark.parametrize(("content", "name"), [(b"other", "a.bin"), (CONTENT, "b.bin")])
def test_other_bytes_or_another_name_under_a_known_id_are_refused(vault: LocalVault, content: bytes, name: str) -> None:
    put(vault)
    with pytest.raises(VaultConflict, match="came again"):
        put(vault, content, name=name)
    assert path_of(vault).read_bytes() == CONTENT
    assert len(files(vault)) == 1


@pytest.mark.parametrize(("sha256", "size"), [("0" * 64, None), (DIGEST, 1)])
def test_bytes_that_are_not_what_was_announced_leave_nothing(vault: LocalVault, sha256: str, size: int | None) -> None:
    with pytest.raises(VaultMismatch, match="expected"):
        vault.put_stream("inc-1", "e1", "a.bin", [CONTENT], sha256=sha256, size=size)
    assert files(vault) == []
    with pytest.raises(VaultMissing):
        vault.find("inc-1", "e1")


def test_upload_that_breaks_off_leaves_nothing(vault: LocalVault) -> None:
    def breaking() -> Iterator[bytes]:
        yield CONTENT
        raise RuntimeError("the line went dead")

    with pytest.raises(RuntimeError):
        vault.put_stream("inc-1", "e1", "a.bin", breaking(), sha256=DIGEST)
    assert files(vault) == []


@pytest.mark.parametrize(
    "change",
    [
        {"case_id": "../x"},
        {"case_id": ".."},
        {"case_id": "a/b"},
        {"case_id": ""},
        {"evidence_id": "../../x"},
        {"evidence_id": "e\0"},
        {"evidence_id": "e@f"},
        {"evidence_id": "e\n"},
        {"name": "../head.json"},
        {"name": ".hidden"},
        {"name": "a@b"},
        {"name": "/etc/passwd"},
        {"evidence_id": "e" * 250, "name": "n" * 100},
    ],
)
def test_names_that_lead_elsewhere_are_refused(vault: LocalVault, change: dict[str, str]) -> None:
    with pytest.raises(VaultRefused):
        put(vault, CONTENT, **change)
    assert files(vault) == []


def test_ids_and_names_can_not_spell_each_others_paths(vault: LocalVault) -> None:
    put(vault, evidence_id="a", name="b-c")
    put(vault, b"other", evidence_id="a-b", name="c")
    assert path_of(vault, evidence_id="a").read_bytes() == CONTENT
    assert path_of(vault, evidence_id="a-b").read_bytes() == b"other"


def test_document_of_another_folder_is_refused(vault: LocalVault) -> None:
    with pytest.raises(VaultRefused):
        vault.put_document("inc-1", "documents", "../artefacts/e1@a.bin", b"x")


def test_many_writers_of_one_item_leave_one_item(vault: LocalVault) -> None:
    outcomes: list[str] = []

    def write(content: bytes) -> None:
        try:
            put(vault, content)
            outcomes.append("kept")
        except VaultConflict:
            outcomes.append("refused")

    threads = [threading.Thread(target=write, args=(content,)) for content in (b"a", b"b") * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["kept"] * 8 + ["refused"] * 8
    assert len(files(vault)) == 1


def test_start_does_not_disturb_writers_that_finish_meanwhile(vault: LocalVault) -> None:
    def write() -> None:
        for number in range(100):
            put(vault, evidence_id=f"e{number}")

    writing = threading.Thread(target=write)
    writing.start()
    starts = 0
    while writing.is_alive():
        LocalVault(vault.root)
        starts += 1
    writing.join()
    assert starts
    assert len(files(vault)) == 100


def test_writing_is_quick_enough_to_be_waited_for(vault: LocalVault) -> None:
    begun = time.monotonic()
    for number in range(20):
        put(vault, evidence_id=f"e{number}")
    assert time.monotonic() - begun < 5
