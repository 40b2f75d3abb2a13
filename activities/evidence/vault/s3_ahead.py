"""Documents of a bucket, read a little ahead of who reads them one after another.

Owns the guess, and its bounds: who asked for two in a row will ask for the next ones, which are fetched side by side.
Who asks for single ones gets single ones. What was read is handed out once and never judged.

    documents = ReadAhead(bucket, bucket.first("case/inc-1/custody/"))
    documents.read("case/inc-1/custody/000001@collect.json")
"""

from collections.abc import Mapping
from contextlib import suppress

from activities.evidence.side_by_side import WIDTH, side_by_side
from activities.evidence.vault.bucket import Bucket, Version
from segmentation.errors import FirebreakError

AHEAD, AHEAD_BYTES = 4 * WIDTH, 8 << 20


class ReadAhead:
    """The first versions of keys that were listed; for one reader."""

    def __init__(self, bucket: Bucket, listed: Mapping[str, Version]) -> None:
        self._bucket, self._listed = bucket, listed
        self._order = sorted(listed)
        self._places = {key: place for place, key in enumerate(self._order)}
        self._next = len(self._order)
        self._ahead: dict[str, bytes] = {}

    def __contains__(self, key: str) -> bool:
        """Whether it was listed."""
        return key in self._listed

    def read(self, key: str) -> bytes:
        """One that was listed; raises as reading it by itself does."""
        place = self._places[key]
        in_order, self._next = place == self._next, place + 1
        if in_order and key not in self._ahead:
            self._fetch(place)
        return self._ahead.pop(key) if key in self._ahead else self._content(key)

    def _fetch(self, place: int) -> None:
        keys = self._several(place)
        self._ahead = {}
        # Whichever of them it was: the error is raised when that one is asked for.
        with suppress(FirebreakError):
            self._ahead = dict(zip(keys, side_by_side(self._content, keys), strict=True))

    def _several(self, place: int) -> list[str]:
        """The next ones, no more than fit in memory."""
        keys: list[str] = []
        left = AHEAD_BYTES
        for key in self._order[place : place + AHEAD]:
            left -= self._listed[key].size
            if left < 0:
                break
            keys.append(key)
        return keys

    def _content(self, key: str) -> bytes:
        return b"".join(self._bucket.read(self._listed[key]))
