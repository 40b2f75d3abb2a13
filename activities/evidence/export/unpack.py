"""Unpacking a bag that came as tar: plain files below one new folder, and nothing else.

Owns refusing whatever else an archive can do: links, devices, absolute or climbing names, files over files, an archive
that ends early. What it wrote before it refused is left in a folder whose name ends in `.partial`.

    folder = unpack_bag(response.iter_raw(), Path("evidence"))     # -> evidence/firebreak-inc-1-000002
"""

import io
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from activities.evidence.errors import BagRefused

# What our own bags are made of; a name that is none of it could mean something to a shell or a file system.
_PART = re.compile(r"^[A-Za-z0-9][A-Za-z0-9@._-]{0,254}$")
_DEPTHS = range(2, 5)
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)
CHUNK_BYTES = 1 << 20
_END_BYTES = 2 * tarfile.BLOCKSIZE  # of zeros: the end of an archive (POSIX.1-2001, pax)


def unpack_bag(chunks: Iterable[bytes], into: Path, *, announced: int | None = None) -> Path:
    """The bag's folder, complete; its content is not checked yet. `announced`: as many bytes come, and no more.

    Raises:
        BagRefused: it is no bag of ours, ends early, or there is such a folder already.
    """
    into.mkdir(parents=True, exist_ok=True)
    received = _Chunks(chunks, announced)
    stream = cast("BinaryIO", io.BufferedReader(received, CHUNK_BYTES))
    try:
        with tarfile.open(fileobj=stream, mode="r|", errorlevel=2) as archive:
            name, partial = _write(archive, into)
        _check_end(stream, received)
    except (tarfile.TarError, EOFError) as error:
        raise _refused(f"it is no whole archive: {error}") from error
    target = into / name
    if target.exists():
        raise _refused(f"there is a {target} already; what came is in {partial}")
    return partial.rename(target)


def _write(archive: tarfile.TarFile, into: Path) -> tuple[str, Path]:
    root: str | None = None
    partial = into
    for member in archive:
        parts = _parts(member)
        if root is None:
            root = parts[0]
            partial = into / f"{root}.partial"
            _make(partial)
        if parts[0] != root:
            raise _refused(f"it holds a second folder, {parts[0]}")
        _extract(archive, member, partial.joinpath(*parts[1:]))
    if root is None:
        raise _refused("it is empty")
    return root, partial


def _make(partial: Path) -> None:
    try:
        partial.mkdir()
    except FileExistsError as error:
        raise _refused(f"there is a {partial} from an earlier time; look at it and remove it") from error


def _parts(member: tarfile.TarInfo) -> list[str]:
    parts = member.name.split("/")
    # `isreg` takes sparse files too, of which a few bytes become any number of them.
    plain = member.type in _PLAIN and not member.issparse()
    if not plain or len(parts) not in _DEPTHS or not all(map(_PART.fullmatch, parts)):
        raise _refused(f"it holds {member.name[:100]!r}, which is no plain file of a bag")
    return parts


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = archive.extractfile(member)
    if source is None:
        raise _refused(f"{member.name!r} has no content")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise _refused(f"it holds {member.name!r} twice") from error
    left = member.size
    with os.fdopen(handle, "wb") as file:
        while chunk := source.read(CHUNK_BYTES):
            file.write(chunk)
            left -= len(chunk)
        file.flush()
        os.fsync(file.fileno())
    if left:
        raise _refused(f"it ends inside {member.name}")
    target.chmod(0o400)


def _check_end(stream: BinaryIO, received: "_Chunks") -> None:
    """An end, and nothing but zeros behind it. tarfile takes the end of the stream for an end of the archive."""
    while chunk := stream.read(CHUNK_BYTES):
        if chunk.strip(b"\0"):
            raise _refused("something stands behind its end")
    if received.tail != bytes(_END_BYTES):
        raise _refused("it ends early")


def _refused(why: str) -> BagRefused:
    return BagRefused(f"The bag was not unpacked: {why}.", hint="Export it again; if that helps not, verify the case.")


class _Chunks(io.RawIOBase):
    """An iterator of bytes as a file to read."""

    def __init__(self, chunks: Iterable[bytes], announced: int | None) -> None:
        self._chunks: Iterator[bytes] = iter(chunks)
        self._left = announced
        self._held = memoryview(b"")
        self.tail = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._held:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            if self._left is not None:
                self._left -= len(chunk)
                if self._left < 0:
                    raise _refused("more comes than was announced")
            self._held = memoryview(chunk)
            self.tail = (self.tail + chunk[-_END_BYTES:])[-_END_BYTES:]
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        self._held = self._held[size:]
        return size
