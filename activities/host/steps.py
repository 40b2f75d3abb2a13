"""How long each step of an activity took. Owns one stopwatch; reads the monotonic clock and nothing else."""

import time


class Steps:
    """Milliseconds from its making to the end of each step."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._ended: dict[str, float] = {}

    def done(self, step: str) -> dict[str, float]:
        """Note the end of a step; all of them so far."""
        self._ended[step] = round((time.monotonic() - self._begun) * 1000, 3)
        return dict(self._ended)
