"""Counting what was refused.

Owns putting refusals that come together into one transaction, so that a flood of bad messages does not make
the disk sync once for each. When `count` returns, the count is committed.
"""

import asyncio
from collections import Counter

from activities.ledger.refusals import Refusals


class RefusalMeter:
    """The way of the API to the ledger's counters."""

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals
        self._waiting: Counter[tuple[str, str]] = Counter()
        self._flushing = asyncio.Lock()

    async def count(self, source: str, reason: str) -> None:
        """Count one; several callers share a commit."""
        self._waiting[source, reason] += 1
        async with self._flushing:
            if self._waiting:
                batch, self._waiting = self._waiting, Counter()
                await asyncio.to_thread(self._refusals.count_all, batch)
