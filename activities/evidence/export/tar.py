"""A bag as one stream of bytes: tar (POSIX.1-2001, pax), made while it is sent.

Owns the framing, and recomputing every digest on the way: an item whose bytes are not what its manifest says is never
sent to its end. Nothing is held but the piece that is on its way, and nothing is written to a disk.

    for chunk in stream_tar(bag): ...
"""

import hashlib
import tarfile
from collections.abc import Iterable, Iterator

from activities.evidence.errors import ExportBroken
from activities.evidence.export.bag import Bag, Entry

_END = b"\0" * (2 * tarfile.BLOCKSIZE)
MEDIA_TYPE = "application/x-tar"


def tar_size(bag: Bag) -> int:
    """How many bytes the stream has when nothing is wrong: a reader that got fewer knows."""
    heads = sum(len(_header(bag, entry)) for entry in bag.entries)
    return heads + sum(entry.size + _padding(entry.size) for entry in bag.entries) + len(_END)


def stream_tar(bag: Bag) -> Iterator[bytes]:
    """The bytes.

    Raises:
        ExportBroken: an item is not what its manifest says; what was sent by then ends inside it.
    """
    for entry in bag.entries:
        yield _header(bag, entry)
        yield from _checked(entry)
        yield b"\0" * _padding(entry.size)
    yield _END


def _header(bag: Bag, entry: Entry) -> bytes:
    info = tarfile.TarInfo(f"{bag.name}/{entry.path}")
    info.size, info.mode, info.mtime = entry.size, 0o644, int(bag.made_at.timestamp())
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> int:
    return -size % tarfile.BLOCKSIZE


def _checked(entry: Entry) -> Iterator[bytes]:
    """The bytes of a file, the last piece only once all of it is known to be right."""
    digest, size = hashlib.sha256(), 0
    for chunk, last in _with_last(entry.chunks()):
        digest.update(chunk)
        size += len(chunk)
        if size > entry.size or last:
            _check(entry, size, digest.hexdigest())
        yield chunk
    if not entry.size:
        _check(entry, size, digest.hexdigest())


def _check(entry: Entry, size: int, digest: str) -> None:
    if size == entry.size and digest == entry.sha256:
        return
    found = f"{size} bytes, expected {entry.size}" if size != entry.size else f"sha256 {digest}"
    raise ExportBroken(
        f"{entry.path} has {found}; its manifest says sha256 {entry.sha256}. The export was broken off.",
        hint="Verify the case: firebreak evidence verify CASE.",
    )


def _with_last(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each chunk, and whether it is the last."""
    held: bytes | None = None
    for chunk in chunks:
        if held is not None:
            yield held, False
        held = chunk
    if held is not None:
        yield held, True
