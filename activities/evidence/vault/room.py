"""Whether another upload may come: files and bytes of one host, and what the disk has left.

Owns the bounds. No host takes the room of all: what it has announced counts for half of what is free at most, and
what it has brought without an end for no more than a few artefacts.

    room.check(host, name, wanted, uploads)
    room.check_batch(length)
"""

import shutil
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from activities.evidence.errors import VaultUnavailable
from activities.evidence.vault.spool import Spool

# Left for everything else on the disk of the API: ledger, logs.
RESERVE_BYTES = 64 << 20
HOST_UPLOADS, HOST_ARTEFACTS = 64, 2
IDLE_SECONDS = 300.0


@dataclass
class Upload:
    """An upload whose file is open. `missing` is what was announced and has not come."""

    spool: Spool
    host: str
    missing: int = 0
    moved: float = field(default_factory=time.monotonic)
    reading: "Future[None] | None" = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing has come for so long that its file need not be open, nor room be left for it."""
        if self.reading is not None and not self.reading.done():
            return False
        return time.monotonic() - self.moved > IDLE_SECONDS

    def read_by(self, reading: "Future[None]") -> "Future[None]":
        """What is there is read again, which takes as long as it is large; the sender goes on only afterwards."""
        self.reading = reading
        reading.add_done_callback(lambda _: setattr(self, "moved", time.monotonic()))
        return reading

    def has(self, end: int, size: int | None) -> None:
        """So much came."""
        self.missing, self.moved = max((size or 0) - end, 0), time.monotonic()


class Room:
    """The disk of one folder of uploads, whose names begin with their host's."""

    def __init__(self, folder: Path, max_bytes: int, reserve_bytes: int) -> None:
        self._folder, self._host_bytes, self.reserve_bytes = folder, HOST_ARTEFACTS * max_bytes, reserve_bytes

    def check(self, host: str, name: str, wanted: int, uploads: Mapping[str, Upload]) -> None:
        """Room for this one, and for what the others still lack; raises VaultUnavailable."""
        self._check_host(host, name, wanted)
        free = shutil.disk_usage(self._folder).free
        promised = _promised((u for key, u in uploads.items() if key != name), (free - self.reserve_bytes) // 2)
        if wanted > free - promised - self.reserve_bytes:
            raise VaultUnavailable(
                f"The vault's disk has {free} bytes free, {promised} of them promised, and {wanted} should come.",
                hint="Make room; the upload is tried again.",
            )

    def check_batch(self, length: int) -> None:
        """Room for what just came, announced or not; raises VaultUnavailable."""
        free = shutil.disk_usage(self._folder).free
        if length > free - self.reserve_bytes:
            raise VaultUnavailable(
                f"No space left for uploads: the vault's disk has {free} bytes free, {self.reserve_bytes} kept back.",
                hint="Make room; the upload is tried again.",
            )

    def _check_host(self, host: str, name: str, wanted: int) -> None:
        sizes = [path.stat().st_size for path in self._folder.glob(f"{host}*") if path.name != name]
        if len(sizes) >= HOST_UPLOADS or sum(sizes) + wanted > self._host_bytes:
            raise VaultUnavailable(
                f"This host has {len(sizes)} uploads with {sum(sizes)} bytes under way, "
                f"expected less than {HOST_UPLOADS} and, with this one, {self._host_bytes} bytes at most.",
                hint="Finish those; what nobody goes on with is dropped after a week.",
            )


def _promised(uploads: Iterable[Upload], most: int) -> int:
    by_host: dict[str, int] = {}
    for upload in uploads:
        by_host[upload.host] = by_host.get(upload.host, 0) + upload.missing
    return sum(min(missing, max(most, 0)) for missing in by_host.values())
