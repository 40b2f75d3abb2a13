"""Bags: valid for others, streamed, broken off where an item is wrong, unpacked without harm."""

import io
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from activities.evidence.errors import BagRefused, ExportBroken
from activities.evidence.export.bag import Bag, Entry
from activities.evidence.export.checking import verify_bag
from activities.evidence.export.tar import stream_tar, tar_size
from activities.evidence.export.unpack import unpack_bag
from activities.evidence.sealing.trust import Trust
from tests.activities.evidence.items import CASE, make_item
from tests.activities.evidence.sealed import EXPORTED, SealedCase

MIB = 1 << 20


def test_the_library_of_congress_finds_the_bag_valid(bag: Path) -> None:
    """Its `bagit` is the judge; it writes to standard error."""
    command = [sys.executable, "-W", "ignore", "-m", "bagit", "--validate", str(bag)]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stderr
    assert f"{bag} is valid" in judged.stderr


def test_a_bag_holds_the_whole_case_and_checks_out_alone(bag: Path, sealed: SealedCase) -> None:
    verdict = verify_bag(bag, sealed.trust)
    assert (verdict.ok, verdict.items, verdict.verified, len(verdict.seals)) == (True, 4, 4, 2)
    folders = {path.name for path in (bag / "data").iterdir()}
    assert folders == {"artefacts", "custody", "documents", "head.json", "keys", "manifests", "seals", "tsa"}


def test_keys_and_roots_that_came_with_a_bag_are_named(bag: Path, sealed: SealedCase) -> None:
    verdict = verify_bag(bag, Trust())
    assert verdict.ok
    key, root = verdict.warnings
    assert sealed.signer.key.keyid in key
    assert "root certificate that came with the bag" in root


def test_what_came_after_the_case_was_read_is_no_part_of_its_bag(sealed: SealedCase, tmp_path: Path) -> None:
    planned = sealed.bag()
    sealed.register(make_item(sealed.vault, "late"))
    folder = unpack_bag(stream_tar(planned), tmp_path / "out")
    assert verify_bag(folder, sealed.trust).items == 4


def test_a_case_without_a_seal_is_not_exported(unstamped: SealedCase) -> None:
    unstamped.register(make_item(unstamped.vault, "sockets"))
    with pytest.raises(ExportBroken, match="it has no seal"):
        unstamped.bag()


def test_the_stream_is_as_long_as_was_said(sealed: SealedCase) -> None:
    planned = sealed.bag()
    assert sum(map(len, stream_tar(planned))) == tar_size(planned)


def large(size: int, sha256: str, *, wrong: bool = False) -> Bag:
    def chunks() -> Iterator[bytes]:
        for number in range(size // MIB):
            yield bytes([number % 2 ^ wrong]) * MIB

    return Bag("firebreak-inc-1-000001", CASE, EXPORTED, (Entry("data/artefacts/a@b", size, sha256, chunks),))


def test_a_large_item_never_sits_in_memory() -> None:
    digest = digest_of(large(256 * MIB, ""))
    tracemalloc.start()
    try:
        sent = sum(map(len, stream_tar(large(256 * MIB, digest))))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sent > 256 * MIB
    assert peak < 8 * MIB


def digest_of(bag: Bag) -> str:
    import hashlib

    digest = hashlib.sha256()
    for chunk in bag.entries[0].chunks():
        digest.update(chunk)
    return digest.hexdigest()


def test_an_item_that_is_wrong_is_never_sent_to_its_end() -> None:
    bag = large(4 * MIB, digest_of(large(4 * MIB, "")), wrong=True)
    sent: list[int] = []
    with pytest.raises(ExportBroken, match=r"data/artefacts/a@b has sha256 .* The export was broken off"):
        sent.extend(map(len, stream_tar(bag)))
    assert 0 < sum(sent) < 4 * MIB


def test_a_stream_that_ends_early_leaves_no_folder_that_looks_whole(sealed: SealedCase, tmp_path: Path) -> None:
    whole = b"".join(stream_tar(sealed.bag()))
    for place, length in enumerate((100, 3000, len(whole) // 2, len(whole) - 1500)):
        into = tmp_path / str(place)
        with pytest.raises(BagRefused):
            unpack_bag([whole[:length]], into)
        assert all(path.name.endswith(".partial") for path in into.iterdir())


def member(name: str, content: bytes = b"x", **changes: object) -> Callable[[tarfile.TarFile], None]:
    def add(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        for key, value in changes.items():
            setattr(info, key, value)
        archive.addfile(info, io.BytesIO(content))

    return add


@pytest.mark.parametrize(
    "members",
    [
        [],
        [member("../outside/x")],
        [member("/etc/x")],
        [member("bag/../../x")],
        [member("bag/./x")],
        [member("bag/data/a", type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0)],
        [member("bag/data/a", type=tarfile.LNKTYPE, linkname="bag/x", size=0)],
        [member("bag/data/a", type=tarfile.CHRTYPE, size=0)],
        [member("bag/data/a", type=tarfile.FIFOTYPE, size=0)],
        [member("bag/data", type=tarfile.DIRTYPE, size=0)],
        [member("bag/x"), member("bag/x")],
        [member("bag/x"), member("other/x")],
        [member("bag/a/b/c/d/e")],
        [member("bag/\x1b[2J")],
        [member("bag/data/a b")],
        [member("x")],
    ],
)
def test_an_archive_that_is_more_than_a_bag_is_refused(
    tmp_path: Path, members: list[Callable[[tarfile.TarFile], None]]
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for add in members:
            add(archive)
    into = tmp_path / "deep" / "out"
    with pytest.raises(BagRefused):
        unpack_bag([buffer.getvalue()], into)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"x"}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("pax", [False, True])
def test_a_member_that_is_larger_than_its_bytes_is_refused(tmp_path: Path, *, pax: bool) -> None:
    """A sparse one: ten kilobytes that would become 200 MB."""
    name = "bag/data/a"
    info = tarfile.TarInfo(name)
    if pax:
        info.size = 0
        sparse = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(200 << 20), "GNU.sparse.name": name}
        info.pax_headers = sparse
        block = info.tobuf(tarfile.PAX_FORMAT)
    else:
        info.type = tarfile.GNUTYPE_SPARSE
        raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        raw[386:410] = b"00000000000\0" * 2
        raw[483:495] = b"%011o\0" % (200 << 20)
        raw[148:156] = b" " * 8
        raw[148:156] = b"%06o\0 " % sum(raw)
        block = bytes(raw)
    with tarfile.open(fileobj=io.BytesIO(block + bytes(10_240))) as archive:
        assert archive.getmembers()[0].size == 200 << 20
    with pytest.raises(BagRefused, match="no plain file"):
        unpack_bag([block + bytes(10_240)], tmp_path / "out")
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file()) == 0


def test_more_bytes_than_were_announced_are_refused(sealed: SealedCase, tmp_path: Path) -> None:
    planned = sealed.bag()
    with pytest.raises(BagRefused, match="more comes than was announced"):
        unpack_bag(stream_tar(planned), tmp_path / "out", announced=tar_size(planned) - 1)
    assert unpack_bag(stream_tar(planned), tmp_path / "whole", announced=tar_size(planned)).is_dir()


def test_bytes_behind_the_end_of_an_archive_are_refused(sealed: SealedCase, tmp_path: Path) -> None:
    with pytest.raises(BagRefused, match="behind its end"):
        unpack_bag([*stream_tar(sealed.bag()), bytes(10_240), b"more"], tmp_path / "out")


def test_a_folder_that_is_there_is_never_written_over(sealed: SealedCase, tmp_path: Path) -> None:
    sealed.export(tmp_path / "out")
    with pytest.raises(BagRefused, match="already"):
        sealed.export(tmp_path / "out")


@pytest.mark.parametrize("link", ["data/artefacts/web-1.routes@routes.json", "README.md", "data/documents"])
def test_a_link_in_a_bag_is_no_file(bag: Path, tmp_path: Path, link: str) -> None:
    target = tmp_path / "elsewhere"
    (bag / link).rename(target)
    (bag / link).symlink_to(target)
    verdict = verify_bag(bag, Trust())
    assert not verdict.ok
    assert Path(link).name.split("@")[0] in verdict.first_failure
