"""A cap on how often something may happen.

Owns one token bucket per name; in memory, since a restart that forgets them lets through one burst at most.
"""

import time
from collections.abc import Callable


class RateCap:
    """Token buckets by name."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str, rate_per_second: float, burst: int) -> float:
        """Take one; 0 if there was one, else the seconds until there is."""
        now = self._clock()
        level, at = self._buckets.get(name, (float(burst), now))
        level = min(float(burst), level + (now - at) * rate_per_second)
        if level < 1:
            self._buckets[name] = (level, now)
            return (1 - level) / rate_per_second
        self._buckets[name] = (level - 1, now)
        return 0.0
