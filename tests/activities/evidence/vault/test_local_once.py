"""A vault in a directory: the same bytes once on the disk, files taken over, holds and retentions remembered."""

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.contracts.evidence import Retention
from activities.evidence.errors import VaultConflict, VaultKeyRefused, VaultMismatch, VaultMissing
from activities.evidence.vault.directory import DirectoryCase
from activities.evidence.vault.interface import AT_WILL
from activities.evidence.vault.keys import FileKeys
from activities.evidence.vault.local import LocalVault
from activities.evidence.vault.records import CaseTerms
from tests.activities.evidence.vault.test_local import CONTENT, DIGEST, blobs, path_of, put

SOON = datetime(2033, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(params=["plain", "encrypted"])
def any_vault(request: pytest.FixtureRequest, tmp_path: Path) -> LocalVault:
    keys = FileKeys(os.urandom(32)) if request.param == "encrypted" else None
    return LocalVault(tmp_path / "vault", keys)


def test_the_same_bytes_are_on_the_disk_once_whatever_case_they_belong_to(any_vault: LocalVault) -> None:
    put(any_vault)
    put(any_vault, case_id="inc-2", evidence_id="e2", name="b.bin")
    assert len(blobs(any_vault)) == 1
    assert path_of(any_vault).samefile(path_of(any_vault, "inc-2", "e2"))
    assert b"".join(any_vault.case("inc-2").read("e2")) == CONTENT


def test_bytes_that_rotted_are_not_given_to_another_item(any_vault: LocalVault) -> None:
    put(any_vault)
    (blob,) = blobs(any_vault)
    blob.chmod(0o600)
    with blob.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\0")
    put(any_vault, case_id="inc-2")
    assert b"".join(any_vault.case("inc-2").read("e1")) == CONTENT


def test_file_of_the_same_disk_becomes_the_item_without_being_copied(vault: LocalVault, tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(CONTENT)
    storage = vault.put_file("inc-1", "e1", "a.bin", path, sha256=DIGEST)
    assert path_of(vault).samefile(path)
    assert storage == vault.put_file("inc-1", "e1", "a.bin", path, sha256=DIGEST)
    assert storage == vault.put_stream("inc-1", "e1", "a.bin", [CONTENT], sha256=DIGEST)


def test_file_that_has_to_be_encrypted_is_copied_and_checked(tmp_path: Path) -> None:
    vault, path = LocalVault(tmp_path / "vault", FileKeys(os.urandom(32))), tmp_path / "spool"
    path.write_bytes(CONTENT)
    with pytest.raises(VaultMismatch):
        vault.put_file("inc-1", "e1", "a.bin", path, sha256="0" * 64)
    storage = vault.put_file("inc-1", "e1", "a.bin", path, sha256=DIGEST)
    kept = path_of(vault)
    assert storage.encryption.startswith("AES-256-GCM-STREAM file:")
    assert storage.checksum == hashlib.sha256(kept.read_bytes()).hexdigest() != DIGEST
    assert CONTENT[:64] not in kept.read_bytes()


def test_retention_and_hold_are_remembered_and_never_shortened(any_vault: LocalVault) -> None:
    put(any_vault)
    assert any_vault.retain("inc-1", "e1", Retention(mode="governance", until=SOON)).retain_until == SOON
    earlier = Retention(mode="governance", until=SOON - timedelta(days=1))
    assert any_vault.retain("inc-1", "e1", earlier).retain_until == SOON
    assert any_vault.hold("inc-1", "e1", on=True).legal_hold
    again = LocalVault(any_vault.root, any_vault._keys).retain("inc-1", "e1", AT_WILL)
    assert (again.retain_until, again.legal_hold, again.lock_mode) == (SOON, True, "write-once")
    assert not any_vault.hold("inc-1", "e1", on=False).legal_hold


def test_terms_of_the_case_itself_are_remembered_and_never_shortened(any_vault: LocalVault) -> None:
    put(any_vault)
    any_vault.retain_case("inc-1", Retention(mode="compliance", until=SOON))
    any_vault.retain_case("inc-1", Retention(mode="compliance", until=SOON - timedelta(days=1)))
    any_vault.hold_case("inc-1", on=True)
    assert case_terms(any_vault) == CaseTerms(retain_until=SOON, legal_hold=True)
    any_vault.hold_case("inc-1", on=False)
    assert case_terms(any_vault) == CaseTerms(retain_until=SOON)
    assert not any_vault.retain("inc-1", "e1", AT_WILL).legal_hold


def test_digest_is_known_without_reading_the_bytes(any_vault: LocalVault) -> None:
    put(any_vault, os.urandom(3 << 20), evidence_id="e2")
    storage = put(any_vault)
    assert any_vault.digest("inc-1", "e1") == DIGEST
    path = path_of(any_vault)
    if path.name.endswith("@enc"):
        path.chmod(0o600)
        content = bytearray(path.read_bytes())
        content[content.index(DIGEST.encode())] ^= 1
        path.write_bytes(content)
        with pytest.raises((VaultMismatch, VaultKeyRefused)):
            any_vault.digest("inc-1", "e1")
    assert storage == path.as_uri()


def case_terms(vault: LocalVault) -> CaseTerms:
    return vault._shelf("inc-1").records.case()


def test_record_that_a_crash_prevented_is_made_up_for(any_vault: LocalVault) -> None:
    put(any_vault)
    said = any_vault.retain("inc-1", "e1", AT_WILL)
    for record in (any_vault.root / "case" / "inc-1" / "storage").iterdir():
        record.unlink()
    assert any_vault.retain("inc-1", "e1", AT_WILL) == said


def test_what_is_not_there_is_neither_held_nor_retained(vault: LocalVault) -> None:
    with pytest.raises(VaultMissing):
        vault.hold("inc-1", "e1", on=True)
    with pytest.raises(VaultMissing):
        vault.retain("inc-1", "e1", AT_WILL)
    assert not (vault.root / "case" / "inc-1").exists()


def test_documents_are_kept_once_and_read_in_order(vault: LocalVault) -> None:
    for name in ("000002@b.json", "000001@a.json"):
        assert vault.put_document("inc-1", "custody", name, name.encode()).startswith(vault.uri)
    assert vault.case("inc-1").documents("custody") == ["000001@a.json", "000002@b.json"]
    assert vault.case("inc-1").document("custody", "000002@b.json") == b"000002@b.json"
    with pytest.raises(VaultConflict):
        vault.put_document("inc-1", "custody", "000001@a.json", b"another history")


def test_unknown_case_is_empty(vault: LocalVault) -> None:
    case = vault.case("inc-9")
    assert (case.artefacts(), case.documents("manifests"), case.head()) == ([], [], None)
    with pytest.raises(VaultMissing):
        case.document("manifests", "000001@a.json")


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "stranger"])
def test_directory_of_a_stranger_leads_nowhere_else(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "artefacts"
    folder.mkdir()
    target = folder / "e1@a.bin"
    if kind == "link":
        target.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(target)
    elif kind == "folder":
        target.mkdir()
    else:
        (folder / "..no name of ours").write_text("x")
    case = DirectoryCase(tmp_path)
    with pytest.raises(VaultMismatch):
        case.artefacts()
    with pytest.raises((VaultMismatch, VaultMissing)):
        b"".join(case.read("e1"))
