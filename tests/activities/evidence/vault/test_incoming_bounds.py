"""Uploads on their way into a vault: no host takes the room, the files or the time of the others."""

import threading
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from activities.evidence.errors import UploadElsewhere, VaultUnavailable
from activities.evidence.vault import incoming as receiving
from activities.evidence.vault import room
from activities.evidence.vault import spool as spooling
from activities.evidence.vault.arriving import Place
from activities.evidence.vault.incoming import Incoming
from activities.evidence.vault.room import HOST_UPLOADS
from tests.activities.evidence.vault.slow_vault import CONTENT, DIGEST, PLACE, SlowVault, begun, whole


def another(number: int, host: str = "id-web", size: int = 1000) -> Place:
    return Place(host_id=host, case_id="inc-1", evidence_id=f"x{number}", name="a.bin", size=size)


def test_host_with_many_uploads_under_way_gets_no_more_and_takes_none_from_others(incoming: Incoming) -> None:
    for number in range(HOST_UPLOADS):
        begun(incoming, place=another(number))
    with pytest.raises(VaultUnavailable, match="under way"):
        begun(incoming, place=another(99))
    begun(incoming, place=another(0))
    begun(incoming, place=another(99, "id-db"))


def test_host_that_announces_all_the_room_there_is_leaves_half_to_others(
    slow: SlowVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 1 << 20
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    incoming = Incoming(slow.root / "spool", slow, reserve_bytes=0)
    begun(incoming, place=another(1, size=free - 1000))
    with pytest.raises(VaultUnavailable, match="promised"):
        begun(incoming, place=another(2, "id-db", size=free))
    begun(incoming, place=another(3, "id-db", size=free // 2))
    incoming.close()


def test_room_is_left_for_nobody_who_does_not_come(incoming: Incoming, monkeypatch: pytest.MonkeyPatch) -> None:
    part = begun(incoming)
    monkeypatch.setattr(room, "IDLE_SECONDS", -1.0)
    incoming.sweep()
    assert incoming._uploads == {}
    with pytest.raises(VaultUnavailable):
        incoming.write(PLACE, part, [CONTENT])
    monkeypatch.undo()
    whole(incoming)


def test_what_was_not_announced_finds_no_more_room_than_there_is(incoming: Incoming) -> None:
    place = PLACE.model_copy(update={"size": None})
    part = begun(incoming, place=place)
    incoming.room.reserve_bytes = 1 << 60
    with pytest.raises(VaultUnavailable, match="No space left"):
        incoming.write(place, part, [CONTENT])


def test_question_where_an_upload_goes_on_makes_none(incoming: Incoming, slow: SlowVault) -> None:
    assert incoming.offset(PLACE) == 0
    with pytest.raises(UploadElsewhere) as raised:
        incoming.begin(PLACE, 10, DIGEST)
    assert (raised.value.offset, list((slow.root / "spool").iterdir())) == (0, [])


def test_large_upload_that_is_read_again_after_a_restart_holds_nobody_up(
    incoming: Incoming, slow: SlowVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    real = spooling._digest_of
    incoming.write(PLACE, begun(incoming), [CONTENT])
    monkeypatch.setattr(spooling, "_digest_of", lambda handle: go.wait(20) and real(handle))
    monkeypatch.setattr(receiving, "READ_SECONDS", 0.05)
    restarted = Incoming(slow.root / "spool", slow)
    for upload in incoming._uploads.values():
        upload.spool.close()
    incoming._uploads.clear()
    for _ in range(2):
        with pytest.raises(VaultUnavailable, match="read again"):
            restarted.offset(PLACE)
    go.set()
    restarted.close()
    assert Incoming(slow.root / "spool", slow).offset(PLACE) == len(CONTENT)


def test_proof_that_it_is_kept_already_is_waited_for_by_nobody(
    incoming: Incoming, slow: SlowVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow.go.set()
    incoming.keep(PLACE, whole(incoming), DIGEST).result(20)
    go = threading.Event()
    monkeypatch.setattr(slow, "digest", lambda *_: go.wait(20) and DIGEST)
    proof = incoming.begin(PLACE, 0, DIGEST)
    assert isinstance(proof, Future)
    assert not proof.done()
    assert incoming.begin(PLACE, len(CONTENT), DIGEST) is proof
    go.set()
    assert proof.result(20).checksum == DIGEST
