"""Uploads on their way into the vault: which there are, where each goes on, and how one becomes an artefact.

Owns the folder of spools, its bounds (size, room on the disk, age) and the last step, the vault's `put_file`, which
is done once however many ask for it. What is in the vault already is not taken again. Knows nothing of HTTP.

    incoming = Incoming(folder, vault)
    part = incoming.begin(place, offset, running_digest)     # or Storage: it is there
    incoming.write(place, part, chunks); incoming.finish(place, part, running_digest)
    incoming.keep(place, digest).result()                    # -> Storage
"""

import contextlib
import hashlib
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from pydantic import Field

from activities.contracts.evidence import EvidenceId, FileName, Storage
from activities.evidence.errors import (
    UploadElsewhere,
    UploadTooLarge,
    VaultConflict,
    VaultMismatch,
    VaultMissing,
    VaultUnavailable,
)
from activities.evidence.vault.interface import AT_WILL, Kept, Vault
from activities.evidence.vault.spool import Part, Spool
from activities.evidence.vault.writing import disk_trouble, make_folder
from playbooks.canonical import canonical
from segmentation.workloads import Frozen, Name

MAX_BYTES = 64 << 30
# Left for everything else on the disk of the API: ledger, logs.
RESERVE_BYTES = 64 << 20
KEEP_SECONDS = 7 * 86_400.0


class Place(Frozen):
    """Whose upload, of what. Another size is another upload: the file was written on meanwhile."""

    host_id: Name
    case_id: Name
    evidence_id: EvidenceId
    name: FileName
    size: int | None = Field(default=None, ge=0, description="None: as much as comes in the one request.")

    @property
    def key(self) -> str:
        """A file name for it."""
        return hashlib.sha256(canonical(self)).hexdigest()


class Incoming:
    """The uploads of one vault; safe for threads."""

    def __init__(
        self, folder: Path, vault: Vault, *, max_bytes: int = MAX_BYTES, reserve_bytes: int = RESERVE_BYTES
    ) -> None:
        self._folder, self._vault, self._max_bytes, self._reserve_bytes = folder, vault, max_bytes, reserve_bytes
        self._lock = threading.Lock()
        self._spools: dict[str, Spool] = {}
        self._sizes: dict[str, int] = {}
        self._keeping: dict[str, Future[Storage]] = {}
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="vault")
        make_folder(folder)
        self.sweep()

    def offset(self, place: Place) -> int:
        """Where an upload goes on: 0 if nothing is known of it, its size if the vault has it."""
        if (self._folder / place.key).exists():
            with disk_trouble(self._folder):
                return self._spool(place).offset
        kept = self._kept(place)
        return kept.size if kept is not None and kept.size == place.size else 0

    def begin(self, place: Place, offset: int, sha256: str) -> Part | Storage:
        """A part to be written from `offset`; or where the artefact is kept, if `sha256` says that it is the same.

        Raises:
            UploadElsewhere: it goes on somewhere else.
            UploadTooLarge: more than one artefact may have.
            VaultConflict: the id is taken by something else.
            VaultUnavailable: no room, or the vault is away.
        """
        limit = self._max_bytes if place.size is None else place.size
        if limit > self._max_bytes:
            raise UploadTooLarge(f"{limit} bytes, expected {self._max_bytes} at most.", hint="Split the capture.")
        under_way = offset > 0 and (self._folder / place.key).exists()
        kept = None if under_way else self._kept(place)
        if kept is not None:
            return self._same(place, kept, offset, sha256)
        with disk_trouble(self._folder):
            if offset == 0:
                self._check_room(place)
            return self._spool(place).begin(offset, limit)

    def write(self, place: Place, part: Part, chunks: Sequence[bytes]) -> None:
        """Append to a part; more than was announced ends the upload."""
        try:
            with disk_trouble(self._folder):
                part.write(chunks)
        except UploadTooLarge:
            self.drop(place)
            raise

    def finish(self, place: Place, part: Part, sha256: str) -> None:
        """The part counts; raises VaultMismatch where `sha256` is not of everything up to its end."""
        try:
            part.finish(sha256)
        except VaultMismatch:
            if part.begin == 0:
                self.drop(place)
            raise

    def is_whole(self, place: Place, part: Part) -> bool:
        """Whether nothing is missing after this part."""
        return place.size is None or part.end == place.size

    def keep(self, place: Place, sha256: str) -> "Future[Storage]":
        """Hand the whole to the vault; whoever asks meanwhile waits for the same."""
        with self._lock:
            future = self._keeping.get(place.key)
            if future is None:
                future = self._keeping[place.key] = self._threads.submit(self._put, place, sha256)
            return future

    def drop(self, place: Place) -> None:
        """Forget an upload and its bytes."""
        with self._lock:
            spool = self._spools.pop(place.key, None)
            self._sizes.pop(place.key, None)
        if spool is not None:
            spool.close()
        (self._folder / place.key).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Drop the uploads that nobody went on with."""
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > KEEP_SECONDS:
                    with self._lock:
                        spool = self._spools.pop(path.name, None)
                        self._sizes.pop(path.name, None)
                    if spool is not None:
                        spool.close()
                    path.unlink()

    def close(self) -> None:
        """Let go of everything; what came stays on the disk."""
        self._threads.shutdown()
        with self._lock:
            for spool in self._spools.values():
                spool.close()
            self._spools.clear()

    def _put(self, place: Place, sha256: str) -> Storage:
        path = self._folder / place.key
        try:
            storage = self._vault.put_file(place.case_id, place.evidence_id, place.name, path, sha256=sha256)
        except VaultUnavailable:
            raise
        except BaseException:
            self.drop(place)
            raise
        else:
            self.drop(place)
            return storage
        finally:
            with self._lock:
                self._keeping.pop(place.key, None)

    def _kept(self, place: Place) -> Kept | None:
        try:
            return self._vault.find(place.case_id, place.evidence_id)
        except VaultMissing:
            return None

    def _same(self, place: Place, kept: Kept, offset: int, sha256: str) -> Storage:
        """What is kept, if this is all of it; else where to prove that it is."""
        if kept.name == place.name and place.size in (None, kept.size):
            storage = self._vault.retain(place.case_id, place.evidence_id, AT_WILL)
            if self._digest(place, storage) == sha256:
                return storage
            if place.size is not None and offset != kept.size:
                raise UploadElsewhere("It may be in the vault.", offset=kept.size, hint="Send the digest of it all.")
        raise VaultConflict(
            f"{place.evidence_id} is kept as {kept.name} with {kept.size} bytes, and something else came again.",
            hint="Nothing is ever overwritten: give the new bytes an id of their own.",
        )

    def _digest(self, place: Place, storage: Storage) -> str:
        if not storage.encryption:
            return storage.checksum
        found = hashlib.sha256()
        for chunk in self._vault.case(place.case_id).read(place.evidence_id):
            found.update(chunk)
        return found.hexdigest()

    def _spool(self, place: Place) -> Spool:
        with self._lock:
            spool = self._spools.get(place.key)
            if spool is None:
                spool = self._spools[place.key] = Spool.open(self._folder / place.key)
                self._sizes[place.key] = place.size or 0
            return spool

    def _check_room(self, place: Place) -> None:
        """Room for this one and for what the others still lack."""
        self.sweep()
        free, wanted = shutil.disk_usage(self._folder).free, place.size or 0
        with self._lock:
            others = [(self._sizes[key], spool.offset) for key, spool in self._spools.items() if key != place.key]
        promised = sum(max(size - offset, 0) for size, offset in others)
        if wanted > free - promised - self._reserve_bytes:
            raise VaultUnavailable(
                f"The vault's disk has {free} bytes free, {promised} of them promised, and {wanted} should come.",
                hint="Make room; the upload is tried again.",
            )
