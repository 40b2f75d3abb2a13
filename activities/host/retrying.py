"""When to try again what failed: soon at first, then ever later.

Owns the pace alone; what is tried is its owner's.

    retry = Retry()
    if retry.due(failed=not ring.running): ring.begin()
"""

import time

_SECONDS, _SECONDS_MAX = 5.0, 300.0


class Retry:
    """One thing's pace; at once again after a long time without failure."""

    def __init__(self) -> None:
        self._next = 0.0
        self._pause = _SECONDS

    def due(self, *, failed: bool) -> bool:
        """Whether to try now; asking then counts as a try."""
        now = time.monotonic()
        if not failed or now < self._next:
            return False
        lately = now - self._next < self._pause
        self._pause = min(self._pause * 2, _SECONDS_MAX) if lately else _SECONDS
        self._next = now + self._pause
        return True
