"""Having an item looked at by a process that can do nothing else.

Owns that process from here: what it is fed, how long it may take, how much it may answer, how many there are at once.
Its answer is checked as a stranger's. Whatever the bytes do to it, the caller gets a document or an error.

    preview_item(chunks, request)     # -> Examined(preview, sha256=..., complete=True)
"""

import hashlib
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import structlog
from pydantic import TypeAdapter, ValidationError

from activities.evidence.preview.documents import Preview, PreviewRequest, Refusal
from activities.evidence.preview.errors import PreviewBusy, PreviewFailed, PreviewUnconfined

# Of what the preview did not need: longer than that nobody waits for a digest.
REST_SECONDS = 10.0
SECONDS = 60.0
ANSWER_BYTES = 8 << 20
AT_ONCE = 2
WAIT_SECONDS = 15.0
_ERROR_BYTES = 4_096
_UNCONFINED = 3
_ROOT = Path(__file__).parents[3]
_ANSWER: TypeAdapter[Preview | Refusal] = TypeAdapter(Preview | Refusal)
_turns = threading.BoundedSemaphore(AT_ONCE)
_HINT = "Fetch the item and look at it with a tool of your own: firebreak evidence get."
log = structlog.get_logger(__name__)


class Examined(NamedTuple):
    """A preview, and what passed by while it was made."""

    preview: Preview
    sha256: str
    complete: bool


def preview_item(chunks: Iterable[bytes], request: PreviewRequest, *, seconds: float = SECONDS) -> Examined:
    """Feed the bytes to a confined process and take its document.

    Raises:
        PreviewBusy: too many previews are being made.
        PreviewUnconfined: the process can't be confined here; no byte was given to it.
        PreviewFailed: too long, too much, or it died of the bytes.
    """
    if not _turns.acquire(timeout=WAIT_SECONDS):
        raise PreviewBusy(f"{AT_ONCE} previews are being made already.", hint="Ask again in some seconds.")
    try:
        return _Looking(request, seconds).look(chunks)
    finally:
        _turns.release()


class _Looking:
    """One process, from its start to its end."""

    def __init__(self, request: PreviewRequest, seconds: float) -> None:
        self._request, self._seconds = request, seconds
        self._end = time.monotonic() + seconds
        self._digest = hashlib.sha256()
        self._complete = False
        self._over = threading.Event()
        self._trouble: BaseException | None = None

    def look(self, chunks: Iterable[bytes]) -> Examined:
        """Run it to its end."""
        command = (sys.executable, "-s", "-B", "-m", "activities.evidence.preview")
        pipe = subprocess.PIPE
        # Nothing of our environment: what is in there is none of a stranger's bytes' business.
        environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONPATH": str(_ROOT)}
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd="/", env=environment) as process:
            feeder = threading.Thread(target=self._feed, args=(process, chunks), name="preview-feed")
            feeder.start()
            try:
                answer, said = self._collect(process)
                code = process.wait(max(0.1, self._end - time.monotonic()))
            except subprocess.TimeoutExpired as error:
                raise self._too_long() from error
            except BaseException:
                self._over.set()
                raise
            finally:
                process.kill()
                feeder.join()
        if self._trouble is not None:
            raise self._trouble
        return Examined(self._document(answer, said, code), self._digest.hexdigest(), self._complete)

    def _feed(self, process: "subprocess.Popen[bytes]", chunks: Iterable[bytes]) -> None:
        if process.stdin is None:
            return
        pieces = iter(chunks)
        try:
            # It may have seen enough, or died: its answer says which.
            with suppress(BrokenPipeError), process.stdin as way:
                way.write(self._request.model_dump_json().encode() + b"\n")
                for chunk in pieces:
                    self._digest.update(chunk)
                    way.write(chunk)
            # Whatever it made of them, all bytes are to be those that were collected, as far as there is time.
            self._complete = self._hash_rest(pieces)
        except Exception as error:  # noqa: BLE001 - what the vault raises belongs to the caller's thread
            self._trouble = error

    def _hash_rest(self, pieces: Iterator[bytes]) -> bool:
        """Whether the end was reached."""
        end = min(self._end, time.monotonic() + REST_SECONDS)
        for chunk in pieces:
            if self._over.is_set() or time.monotonic() > end:
                return False
            self._digest.update(chunk)
        return True

    def _collect(self, process: "subprocess.Popen[bytes]") -> tuple[bytes, bytes]:
        """What it wrote on both streams, each within its bound, until it closed them."""
        if process.stdout is None or process.stderr is None:
            return b"", b""
        kept: dict[int, bytearray] = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
        with selectors.DefaultSelector() as selector:
            for handle in kept:
                selector.register(handle, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(self._end - time.monotonic())
                if not ready or time.monotonic() > self._end:
                    raise self._too_long()
                for key, _ in ready:
                    chunk = os.read(key.fd, 1 << 16)
                    if not chunk:
                        selector.unregister(key.fd)
                    kept[key.fd] += chunk
                if len(kept[process.stdout.fileno()]) > ANSWER_BYTES:
                    raise PreviewFailed(f"The preview is longer than {ANSWER_BYTES:,} bytes.", hint=_HINT)
                del kept[process.stderr.fileno()][:-_ERROR_BYTES]
        return bytes(kept[process.stdout.fileno()]), bytes(kept[process.stderr.fileno()])

    def _document(self, answer: bytes, said: bytes, code: int) -> Preview:
        try:
            document = _ANSWER.validate_json(answer)
        except ValidationError as error:
            log.warning("preview died", code=code, said=said.decode(errors="backslashreplace")[-500:])
            why = "it took too much time or memory" if code < 0 else f"it ended with {code}"
            raise PreviewFailed(f"The preview could not be made: {why}.", hint=_HINT) from error
        if isinstance(document, Preview):
            return document
        kind = PreviewUnconfined if code == _UNCONFINED else PreviewFailed
        raise kind(document.problem, hint=document.hint)

    def _too_long(self) -> PreviewFailed:
        return PreviewFailed(f"The preview took longer than {self._seconds:.0f} s.", hint=_HINT)
