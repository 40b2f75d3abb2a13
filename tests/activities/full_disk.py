"""A file system that has room for little, and can be filled to the last byte."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_CHUNK = 4096


class SmallDisk:
    """A tmpfs of four MiB."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Until nothing can be written any more."""
        with pytest.raises(OSError, match="No space left"):
            self._write_on()

    def _write_on(self) -> None:
        with self._filler.open("ab", buffering=0) as filler:
            while True:
                filler.write(bytes(_CHUNK))

    def make_room(self) -> None:
        self._filler.unlink()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
