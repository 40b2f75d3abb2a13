"""Pictures of counts over time, as numbers that a template draws with.

Owns the arithmetic of bars, ticks and the mark of the cut. Knows no HTML.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from activities.evidence.preview.documents import Series
from activities.evidence.preview.packets import moment
from activities.report.words import clock, span, stamp

WIDTH, HEIGHT = 920, 150
_DAY = timedelta(days=1)
_NEAR_EDGE = 0.5


@dataclass(frozen=True)
class Bar:
    """A part of a bin's bar; `place` is the name's place in the series."""

    x: float
    y: float
    width: float
    height: float
    place: int


@dataclass(frozen=True)
class Plot:
    """One picture."""

    bars: tuple[Bar, ...]
    names: tuple[tuple[int, str], ...]
    highest: int
    bin: str
    begins: str
    ends: str
    cut: float | None
    cut_anchor: str


def plot(series: Series, places: tuple[int, ...], cut_at: datetime | None) -> Plot:
    """These names of a series, one upon the other."""
    bins = len(series.counts[0])
    highest = max((sum(series.counts[place][index] for place in places) for index in range(bins)), default=0)
    step = WIDTH / max(bins, 1)
    bars = [bar for index in range(bins) for bar in _stack(series, places, index, step, max(highest, 1))]
    shown = tuple((place, series.names[place]) for place in places if any(series.counts[place]))
    begins, ends = moment(series.start), moment(series.start + bins * series.bin_seconds)
    cut = (cut_at.timestamp() - series.start) / (bins * series.bin_seconds) if cut_at else None
    inside = cut is not None and 0 <= cut <= 1
    return Plot(
        bars=tuple(bars),
        names=shown,
        highest=highest,
        bin=span(timedelta(seconds=series.bin_seconds)) if series.bin_seconds < 10**9 else "ages",
        begins=_when(begins, ends),
        ends=_when(ends, begins),
        cut=round(cut * WIDTH, 1) if inside and cut is not None else None,
        cut_anchor="start" if cut is not None and cut < _NEAR_EDGE else "end",
    )


def _stack(series: Series, places: tuple[int, ...], index: int, step: float, highest: int) -> list[Bar]:
    bars, floor = [], float(HEIGHT)
    for place in places:
        count = series.counts[place][index]
        if count:
            # What happened is seen, however much more happened elsewhere.
            height = max(1.5, count / highest * HEIGHT)
            floor -= height
            bars.append(
                Bar(round(index * step, 2), round(floor, 2), round(max(step - 1, 0.5), 2), round(height, 2), place)
            )
    return bars


def _when(at: datetime | None, other: datetime | None) -> str:
    if at is None:
        return ""
    return stamp(at) if other is None or abs(at - other) > _DAY or at < other else clock(at)
