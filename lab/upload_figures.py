"""The figures of the bench of uploads, and how they are shown.

Owns their shape, the targets and the table. Measures nothing.
"""

from statistics import median

from pydantic import Field
from rich.console import Console
from rich.table import Table

from segmentation.workloads import Frozen

TARGET_RATIO, TARGET_BYTES = 0.8, 200_000_000


class UploadRound(Frozen):
    """One after the other; seconds."""

    sha256sum: float
    cp: float
    sync: float = Field(description="`sync` of the copy, after cp.")
    ours: float = Field(description="Hashing, sending, hashing again, writing, syncing; until the vault answered.")

    @property
    def ratio(self) -> float:
        """Our throughput over that of sha256sum, then cp, then sync."""
        return (self.sha256sum + self.cp + self.sync) / self.ours

    @property
    def ratio_unsynced(self) -> float:
        """The same beside a copy that a power failure would lose."""
        return (self.sha256sum + self.cp) / self.ours


class UploadFigures(Frozen):
    """All rounds, and the most memory that either end had."""

    size: int
    rounds: tuple[UploadRound, ...]
    sender_peak_bytes: int
    api_peak_bytes: int
    load_before: float = Field(description="Of the machine, one minute: above 1 somebody else was at work.")
    ratio_median: float
    ratio_best: float
    within_target: bool


def figures_of(size: int, rounds: list[UploadRound], peaks: tuple[int, int], load: float) -> UploadFigures:
    """The medians, and whether they are within the targets; `peaks` of sender and API, in bytes."""
    ratios = [one.ratio for one in rounds]
    return UploadFigures(
        size=size,
        rounds=tuple(rounds),
        sender_peak_bytes=peaks[0],
        api_peak_bytes=peaks[1],
        load_before=load,
        ratio_median=median(ratios),
        ratio_best=max(ratios),
        within_target=median(ratios) >= TARGET_RATIO and max(peaks) < TARGET_BYTES,
    )


def show_uploads(console: Console, figures: UploadFigures) -> None:
    """A line for each round, then the memory."""
    table = Table(title=f"Hashing and uploading {figures.size / 1e6:,.0f} MB, seconds")
    for column in ("round", "sha256sum", "cp", "sync", "ours", "ratio", "ratio without sync"):
        table.add_column(column, justify="right")
    for number, one in enumerate(figures.rounds, 1):
        spent = (f"{value:.2f}" for value in (one.sha256sum, one.cp, one.sync, one.ours))
        table.add_row(str(number), *spent, f"{one.ratio:.0%}", f"{one.ratio_unsynced:.0%}")
    console.print(table)
    verdict = "[green]within" if figures.within_target else "[red]missed"
    console.print(
        f"ratio: median [bold]{figures.ratio_median:.0%}[/], best {figures.ratio_best:.0%}; peak memory: sender "
        f"{figures.sender_peak_bytes / 1e6:.0f} MB, API {figures.api_peak_bytes / 1e6:.0f} MB; {verdict}[/] "
        f"{TARGET_RATIO:.0%} and {TARGET_BYTES / 1e6:.0f} MB; load before: {figures.load_before:.1f}"
    )
