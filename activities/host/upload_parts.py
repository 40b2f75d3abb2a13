"""Reading a file once: hashed and cut into parts on the way, ahead of who sends them.

Owns the thread that reads and the digests at the borders of parts, so that an upload that goes on in the middle
hashes no byte twice. Never more than three parts in memory.

    with Parts(path) as parts:
        for part in parts.after(offset): send(part)
"""

import hashlib
import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

PART_BYTES = 16 << 20
_AHEAD = 1
_WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class FilePart:
    """Bytes from `offset`; `sha256` is of everything up to their end."""

    offset: int
    data: bytes
    sha256: str

    @property
    def end(self) -> int:
        """Where the next part begins."""
        return self.offset + len(self.data)


class FileChanged(OSError):
    """The file is shorter than it was."""


class Parts:
    """The parts of one file, of the size that it has now."""

    def __init__(self, path: Path, part_bytes: int = PART_BYTES) -> None:
        self._path, self._part_bytes = path, part_bytes
        self.size = path.stat().st_size
        self._digests = {0: hashlib.sha256()}

    def after(self, offset: int) -> Generator[FilePart, None, None]:
        """The parts from `offset` on; one without bytes where that is the end.

        Raises:
            OSError: it can't be read, or is shorter than it was.
        """
        ready: queue.Queue[FilePart | BaseException] = queue.Queue(_AHEAD)
        over = threading.Event()
        reader = threading.Thread(target=self._read, args=(offset, ready, over), name="read-ahead", daemon=True)
        reader.start()
        try:
            while True:
                part = ready.get()
                if isinstance(part, BaseException):
                    raise part
                yield part
                if part.end == self.size:
                    return
        finally:
            over.set()
            reader.join()

    def _read(self, offset: int, ready: "queue.Queue[FilePart | BaseException]", over: threading.Event) -> None:
        try:
            for part in self._hashed(offset, over):
                _put(ready, part, over)
                del part  # while the next one is read, the sender alone holds this one
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for the next part
            _put(ready, error, over)

    def _hashed(self, offset: int, over: threading.Event) -> Iterator[FilePart]:
        known = max(border for border in self._digests if border <= offset)
        digest = self._digests[known].copy()
        with self._path.open("rb", buffering=0) as raw, closing(raw) as file:
            file.seek(known)
            while known < offset and not over.is_set():
                digest.update(self._take(file.read(min(self._part_bytes, offset - known))))
                known = file.tell()
            while not over.is_set():
                data = b""
                if offset < self.size:
                    data = self._take(file.read(min(self._part_bytes, self.size - offset)))
                digest.update(data)
                offset += len(data)
                self._digests[offset] = digest.copy()
                yield FilePart(offset - len(data), data, digest.hexdigest())
                if offset == self.size:
                    return

    def _take(self, data: bytes | None) -> bytes:
        if not data:
            raise FileChanged(f"{self._path} is shorter than the {self.size} bytes it had")
        return data


def _put(ready: "queue.Queue[FilePart | BaseException]", part: FilePart | BaseException, over: threading.Event) -> None:
    while not over.is_set():
        try:
            ready.put(part, timeout=_WAIT_SECONDS)
        except queue.Full:
            continue
        return
