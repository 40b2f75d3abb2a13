"""The same bytes once on the disk, whatever cases they belong to.

Owns `blobs/`: a file for each digest, of which artefacts are further names. A name of somebody else's is never given to
bytes that are not the same any more: what is there is read before it is used again.

    blobs.share(draft, digest, intact=...)     # -> the file to give a further name to
"""

import os
from collections.abc import Callable
from pathlib import Path

from activities.evidence.vault.writing import make_folder, place

# So many names leave room below ext4's limit of 65,000 for one file.
MAX_NAMES = 60_000


class Blobs:
    """The blobs of one vault; safe for threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def known(self, name: str) -> Path | None:
        """The file of a digest that was kept before, if another name can be given to it."""
        path = self._folder / name[:2] / name
        try:
            return path if path.lstat().st_nlink < MAX_NAMES else None
        except FileNotFoundError:
            return None

    def share(self, source: Path, name: str, intact: Callable[[Path], bool]) -> Path:
        """What an artefact should be a name of: the file that is known and intact, else `source`, known from now on."""
        path = self._folder / name[:2] / name
        known = self.known(name)
        if known is None and not path.exists():
            make_folder(path.parent)
            if place(source, path):
                return path
            known = self.known(name)
        if known is None or os.path.samestat(known.lstat(), source.lstat()):
            return source
        return known if intact(known) else source
