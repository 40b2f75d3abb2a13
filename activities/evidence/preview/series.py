"""Counting over a time whose length is known only at the end.

Owns bins that grow: they double until no more than `BINS` of them cover everything, so that a capture of a second
and one of a day cost the same memory, and a wrong clock costs nothing but resolution.
"""

from activities.evidence.preview.documents import Series

BINS = 120
_SMALLEST_SECONDS = 0.001


class Counting:
    """Counts of several names over time."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._width = _SMALLEST_SECONDS
        self._bins: dict[int, list[int]] = {}
        self._low = self._high = 0

    def at(self, moment: float) -> list[int]:
        """The counts of a moment's bin, one for each name, to add to."""
        return self._bins.get(int(moment // self._width)) or self._begin(moment)

    def result(self) -> Series | None:
        """Every bin between first and last; None where nothing was counted."""
        if not self._bins:
            return None
        empty = [0] * len(self._names)
        bins = [self._bins.get(index, empty) for index in range(self._low, self._high + 1)]
        counts = tuple(tuple(found[place] for found in bins) for place in range(len(self._names)))
        return Series(start=self._low * self._width, bin_seconds=self._width, names=self._names, counts=counts)

    def _begin(self, moment: float) -> list[int]:
        index = int(moment // self._width)
        self._low = min(self._low, index) if self._bins else index
        self._high = max(self._high, index) if self._bins else index
        self._bins[index] = [0] * len(self._names)
        while self._high - self._low >= BINS:
            self._widen()
        return self._bins[int(moment // self._width)]

    def _widen(self) -> None:
        merged: dict[int, list[int]] = {}
        for index, counts in self._bins.items():
            into = merged.setdefault(index // 2, [0] * len(self._names))
            for place, count in enumerate(counts):
                into[place] += count
        self._bins, self._width = merged, self._width * 2
        self._low, self._high = min(merged), max(merged)
