"""Previews that were made already, by the digest of the item and what was asked.

Owns a bound on their number and size; in memory alone. Only what was made of every byte of an item comes in here: a
preview of these bytes is the same whenever it is made.
"""

import threading
from collections import OrderedDict

from activities.evidence.preview.documents import Preview, PreviewRequest

MAX_BYTES = 32 << 20
Key = tuple[str, str]


class PreviewCache:
    """The most recently used previews; safe for threads."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._kept: OrderedDict[Key, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, sha256: str, request: PreviewRequest) -> Preview | None:
        """A preview that was made before."""
        key = _key(sha256, request)
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
        return Preview.model_validate_json(found) if found is not None else None

    def put(self, sha256: str, request: PreviewRequest, preview: Preview) -> None:
        """Keep one; the least recently used go for it."""
        key, document = _key(sha256, request), preview.model_dump_json().encode()
        with self._lock:
            self._bytes += len(document) - len(self._kept.pop(key, b""))
            self._kept[key] = document
            while self._bytes > self._max_bytes:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= len(gone)


def _key(sha256: str, request: PreviewRequest) -> Key:
    return sha256, request.model_dump_json()
