"""Uploads on their way into the vault: which there are, where each goes on, and how one becomes an artefact.

Owns the folder of spools, their age, and the last step, the vault's `put_file`, which is done once however many ask
for it: until it is, nothing of the upload can be written. What is in the vault already is not taken again. Knows
nothing of HTTP.

    incoming = Incoming(folder, vault)
    part = incoming.begin(place, offset, running_digest)     # or a future of Storage: it is there
    incoming.write(place, part, chunks); incoming.finish(place, part, running_digest)
    incoming.keep(place, part, digest).result()              # -> Storage
"""

import contextlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from activities.contracts.evidence import Storage
from activities.evidence.errors import (
    UploadElsewhere,
    UploadTooLarge,
    VaultConflict,
    VaultMismatch,
    VaultMissing,
    VaultUnavailable,
)
from activities.evidence.vault.arriving import Place, same_as_kept
from activities.evidence.vault.interface import Kept, Vault
from activities.evidence.vault.layout import artefact_name
from activities.evidence.vault.pending import Pending
from activities.evidence.vault.room import RESERVE_BYTES, Room, Upload
from activities.evidence.vault.spool import Part, Spool
from activities.evidence.vault.writing import disk_trouble, make_folder

MAX_BYTES = 64 << 30
KEEP_SECONDS = 7 * 86_400.0
# Whoever asks waits so long for a large file to be read again; then again, when asked again.
READ_SECONDS = 8.0


class Incoming:
    """The uploads of one vault; safe for threads."""

    def __init__(
        self, folder: Path, vault: Vault, *, max_bytes: int = MAX_BYTES, reserve_bytes: int = RESERVE_BYTES
    ) -> None:
        self._folder, self._vault, self._max_bytes = folder, vault, max_bytes
        self.room = Room(folder, max_bytes, reserve_bytes)
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}
        self._pending = Pending()
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="spool")
        make_folder(folder)
        self.sweep()

    def offset(self, place: Place) -> int:
        """Where an upload goes on: 0 if nothing is known of it, its size if the vault has it."""
        with contextlib.suppress(FileNotFoundError), disk_trouble(self._folder, FileNotFoundError):
            return self._read(self._upload(place, create=False)).offset
        kept = self._kept(place)
        return kept.size if kept is not None and kept.size == place.size else 0

    def begin(self, place: Place, offset: int, sha256: str) -> "Part | Future[Storage]":
        """A part to be written from `offset`; or where the artefact is kept, if `sha256` says that it is the same.

        Raises:
            UploadElsewhere: it goes on somewhere else.
            UploadTooLarge: more than one artefact may have.
            VaultConflict: the id is taken by something else.
            VaultUnavailable: no room, or the vault is away, or it is being kept with another digest.
            VaultRefused: a name that is no name.
        """
        limit = self._max_bytes if place.size is None else place.size
        if limit > self._max_bytes:
            raise UploadTooLarge(f"{limit} bytes, expected {self._max_bytes} at most.", hint="Split the capture.")
        artefact_name(place.evidence_id, place.name)
        with self._lock:
            future = self._pending.find(place.key, sha256)
        return future or self._known(place, offset, sha256) or self._part(place, offset, limit)

    def write(self, place: Place, part: Part, chunks: Sequence[bytes]) -> None:
        """Append to a part; more than was announced ends the upload."""
        try:
            with disk_trouble(self._folder):
                self.room.check_batch(sum(map(len, chunks)))
                part.write(chunks)
        except UploadTooLarge:
            self.drop(place)
            raise
        with self._lock:
            if chunks and (upload := self._uploads.get(place.key)):
                upload.has(part.end, place.size)

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

    def keep(self, place: Place, part: Part, sha256: str) -> "Future[Storage]":
        """Hand the whole to the vault; whoever asks meanwhile waits for the same, and nobody writes."""
        with self._lock:
            future = self._pending.find(place.key, sha256)
            if future is None:
                part.freeze()
                future = self._pending.start(place.key, sha256, partial(self._put, place, sha256))
            return future

    def drop(self, place: Place) -> None:
        """Forget an upload and its bytes, unless the vault is at it."""
        with self._lock:
            if place.key not in self._pending:
                self._drop(place.key)

    def sweep(self) -> None:
        """Close the files that nobody goes on with, and drop those that nobody went on with."""
        with self._lock:
            for key in [key for key, upload in self._uploads.items() if upload.is_idle and key not in self._pending]:
                self._uploads.pop(key).spool.close()
            for path in self._folder.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > KEEP_SECONDS and path.name not in self._pending:
                        self._drop(path.name)

    def close(self) -> None:
        """Let go of everything; what came stays on the disk."""
        self._pending.close()
        self._readers.shutdown()
        with self._lock:
            for upload in self._uploads.values():
                upload.spool.close()
            self._uploads.clear()

    def _put(self, place: Place, sha256: str) -> Storage:
        """What can't be tried again is forgotten; all else is kept until it can."""
        final = False
        try:
            path = self._folder / place.key
            storage = self._vault.put_file(place.case_id, place.evidence_id, place.name, path, sha256=sha256)
            final = True
        except (VaultMismatch, VaultConflict):
            final = True
            raise
        else:
            return storage
        finally:
            self._settle(place.key, final=final)

    def _settle(self, key: str, *, final: bool) -> None:
        with self._lock:
            self._pending.forget(key)
            spool = self._uploads[key].spool
            # What the vault gave a further name to is not written again, whatever became of it.
            if final or spool.is_shared:
                self._drop(key)
            else:
                spool.thaw()

    def _drop(self, key: str) -> None:
        # The name first: whoever opens it anew has a file of his own.
        (self._folder / key).unlink(missing_ok=True)
        if upload := self._uploads.pop(key, None):
            upload.spool.close()

    def _known(self, place: Place, offset: int, sha256: str) -> "Future[Storage] | None":
        """The proof that it is in the vault already, which may take longer than anybody waits."""
        if offset > 0 and (self._folder / place.key).exists():
            return None
        kept = self._kept(place)
        if kept is None:
            return None
        call = partial(self._prove, place, kept, offset, sha256)
        with self._lock:
            return self._pending.find(place.key, sha256) or self._pending.start(place.key, sha256, call)

    def _prove(self, place: Place, kept: Kept, offset: int, sha256: str) -> Storage:
        try:
            return same_as_kept(self._vault, place, kept, offset, sha256)
        finally:
            with self._lock:
                self._pending.forget(place.key)

    def _kept(self, place: Place) -> Kept | None:
        try:
            return self._vault.find(place.case_id, place.evidence_id)
        except VaultMissing:
            return None

    def _part(self, place: Place, offset: int, limit: int) -> Part:
        try:
            with disk_trouble(self._folder, FileNotFoundError):
                upload = self._begun(place) if offset == 0 else self._upload(place, create=False)
                part = (self._read(upload) if offset else upload.spool).begin(offset, limit)
        except FileNotFoundError as error:
            raise UploadElsewhere("Nothing of it is here.", offset=0, hint="Begin anew.") from error
        with self._lock:
            upload.has(offset, place.size)
        return part

    def _begun(self, place: Place) -> Upload:
        self.sweep()
        with self._lock:
            self.room.check(place.host, place.key, place.size or 0, self._uploads)
        return self._upload(place, create=True)

    def _upload(self, place: Place, *, create: bool) -> Upload:
        with self._lock:
            upload = self._uploads.get(place.key)
            if upload is None:
                spool = Spool.open(self._folder / place.key, create=create)
                upload = self._uploads[place.key] = Upload(spool, place.host)
            return upload

    def _read(self, upload: Upload) -> Spool:
        """Its file, whose digest is known: after a restart it is read again, beside the requests."""
        if not upload.spool.is_read:
            with self._lock:
                reading = upload.reading
                if reading is None or reading.done():
                    reading = upload.read_by(self._readers.submit(upload.spool.read))
            try:
                reading.result(READ_SECONDS)
            except TimeoutError as error:
                raise VaultUnavailable("What is here of this upload is read again.", hint="Ask again.") from error
        return upload.spool
