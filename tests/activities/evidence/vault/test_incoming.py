"""Uploads on their way into a vault: what is being kept can't be written any more, whoever comes again."""

import os
from pathlib import Path

import pytest

from activities.evidence.errors import VaultConflict, VaultDenied, VaultMismatch, VaultUnavailable
from activities.evidence.vault.incoming import Incoming
from activities.evidence.vault.local import LocalVault
from activities.evidence.vault.spool import Spool
from tests.activities.evidence.vault.slow_vault import CONTENT, DIGEST, PLACE, SlowVault, begun, whole


def kept(vault: LocalVault) -> bytes:
    return b"".join(vault.case("inc-1").read("e1"))


def test_upload_that_begins_anew_while_the_vault_takes_it_changes_nothing(incoming: Incoming, slow: SlowVault) -> None:
    future = incoming.keep(PLACE, whole(incoming), DIGEST)
    assert slow.asked.wait(20)
    with pytest.raises(VaultUnavailable, match="being kept"):
        incoming.begin(PLACE, 0, "0" * 64)
    slow.go.set()
    assert future.result(20).checksum == DIGEST
    assert kept(slow) == CONTENT


def test_who_comes_with_the_same_digest_waits_for_the_same(incoming: Incoming, slow: SlowVault) -> None:
    future = incoming.keep(PLACE, whole(incoming), DIGEST)
    assert incoming.begin(PLACE, len(CONTENT), DIGEST) is future
    slow.go.set()
    assert future.result(20) == slow.put_file("inc-1", "e1", "a.bin", slow.case("inc-1").path("e1"), sha256=DIGEST)


def test_part_that_a_newer_request_took_over_from_is_not_kept(incoming: Incoming) -> None:
    older = whole(incoming)
    begun(incoming)
    with pytest.raises(VaultUnavailable, match="newer request"):
        incoming.keep(PLACE, older, DIGEST)


def test_writer_whose_upload_is_being_kept_is_refused(incoming: Incoming, slow: SlowVault) -> None:
    part = whole(incoming)
    future = incoming.keep(PLACE, part, DIGEST)
    with pytest.raises(VaultUnavailable):
        incoming.write(PLACE, part, [b"more"])
    slow.go.set()
    future.result(20)
    assert kept(slow) == CONTENT


@pytest.mark.parametrize("refusal", [VaultUnavailable("away"), VaultDenied("expired"), OSError("broken")])
def test_refusal_that_may_pass_leaves_what_came(incoming: Incoming, slow: SlowVault, refusal: Exception) -> None:
    slow.go.set()
    slow.refusal = refusal
    with pytest.raises(type(refusal)):
        incoming.keep(PLACE, whole(incoming), DIGEST).result(20)
    slow.refusal = None
    assert incoming.offset(PLACE) == len(CONTENT)
    part = begun(incoming, len(CONTENT))
    incoming.finish(PLACE, part, DIGEST)
    assert incoming.keep(PLACE, part, DIGEST).result(20).checksum == DIGEST


@pytest.mark.parametrize("refusal", [VaultMismatch("other bytes"), VaultConflict("taken")])
def test_refusal_that_stands_leaves_nothing(incoming: Incoming, slow: SlowVault, refusal: Exception) -> None:
    slow.go.set()
    slow.refusal = refusal
    with pytest.raises(type(refusal)):
        incoming.keep(PLACE, whole(incoming), DIGEST).result(20)
    assert list((slow.root / "spool").iterdir()) == []


def test_spool_that_is_closed_touches_no_file_that_came_by_its_number(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "spool")
    number = spool.handle
    spool.close()
    other = tmp_path / "other"
    other.write_bytes(CONTENT)
    handle = os.open(other, os.O_RDWR)
    os.dup2(handle, number)
    try:
        with pytest.raises(VaultUnavailable):
            spool.begin(0, 10)
        with pytest.raises(VaultUnavailable):
            _ = spool.offset
        spool.close()
        assert os.fstat(number).st_size == other.stat().st_size == len(CONTENT)
    finally:
        os.close(handle)
        if number != handle:
            os.close(number)


def test_spool_that_a_crash_left_read_only_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(CONTENT)
    path.chmod(0o400)
    spool = Spool.open(path)
    assert (spool.offset, path.stat().st_mode & 0o777) == (len(CONTENT), 0o600)
    spool.close()


def test_spool_that_is_an_artefact_already_is_never_opened_for_writing(tmp_path: Path) -> None:
    path, artefact = tmp_path / "spool", tmp_path / "artefact"
    artefact.write_bytes(CONTENT)
    artefact.chmod(0o400)
    path.hardlink_to(artefact)
    spool = Spool.open(path)
    assert spool.offset == 0
    spool.begin(0, 10).write([b"foreign"])
    spool.close()
    assert (artefact.read_bytes(), artefact.stat().st_mode & 0o777) == (CONTENT, 0o400)


def test_upload_whose_file_was_linked_before_the_vault_failed_begins_anew(incoming: Incoming, slow: SlowVault) -> None:
    part = whole(incoming)
    (path,) = (slow.root / "spool").iterdir()
    (slow.root / "blob").hardlink_to(path)
    slow.refusal = VaultUnavailable("away")
    slow.go.set()
    with pytest.raises(VaultUnavailable):
        incoming.keep(PLACE, part, DIGEST).result(20)
    incoming.write(PLACE, begun(incoming), [b"foreign"])
    assert (slow.root / "blob").read_bytes() == CONTENT
