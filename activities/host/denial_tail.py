"""Following the file into which ulogd writes denials.

Owns the place reached in it, also across restarts, and what happens when the file is rotated, cut or not
there yet. Never interprets a line.

    tail = DenialTail(Path("denials.jsonl"), state_dir / "flows.offset")
    for line in tail.read(): ...
    tail.remember()          # these lines were dealt with
"""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAX_READ_BYTES = 1 << 20
_MAX_BACKLOG_BYTES = 8 << 20


@dataclass(frozen=True)
class Line:
    """A line and where it stands: `place` names it among all lines of this host."""

    content: bytes
    place: str


class DenialTail:
    """One reader of one file. Without a remembered place it begins at most 8 MiB before the end."""

    def __init__(self, path: Path, memory: Path) -> None:
        self._path, self._memory = path, memory
        self._file: BinaryIO | None = None
        self._inode, self._offset = self._recall()

    def read(self) -> list[Line]:
        """The next complete lines, at most a mebibyte of them."""
        if self._file is None and not self._open():
            return []
        lines = self._read_lines()
        if not lines and self._was_replaced():
            self.close()
        return lines

    def remember(self) -> None:
        """Keep the place on disk. Losing the last one repeats lines, whose documents have the same ids."""
        draft = self._memory.with_suffix(".draft")
        draft.write_text(f"{self._inode} {self._offset}", encoding="ascii")
        draft.replace(self._memory)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return False
        found = os.fstat(file.fileno())
        if found.st_ino != self._inode or found.st_size < self._offset:
            self._inode, self._offset = found.st_ino, 0
        begin = max(self._offset, found.st_size - _MAX_BACKLOG_BYTES)
        file.seek(begin)
        if begin > self._offset:
            begin += len(file.readline())  # the rest of a line whose beginning is left out
        self._file, self._offset = file, begin
        return True

    def _read_lines(self) -> list[Line]:
        if self._file is None:
            return []
        self._file.seek(self._offset)
        data = self._file.read(_MAX_READ_BYTES)
        whole = data[: data.rfind(b"\n") + 1]
        if not whole and len(data) == _MAX_READ_BYTES:
            whole = data  # no line of ours is a mebibyte long: get past it
        lines = []
        for content in whole.splitlines(keepends=True):
            # With the content's checksum: a file that was cut begins its offsets anew.
            lines.append(Line(content, f"{self._inode:x}-{self._offset:x}-{zlib.crc32(content):08x}"))
            self._offset += len(content)
        return lines

    def _was_replaced(self) -> bool:
        """Rotated, or cut: the writer goes on in another file, or from the beginning."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return True
        return found.st_ino != self._inode or found.st_size < self._offset

    def _recall(self) -> tuple[int, int]:
        try:
            inode, offset = self._memory.read_text(encoding="ascii").split()
            return int(inode), int(offset)
        except (FileNotFoundError, ValueError):
            return 0, 0
