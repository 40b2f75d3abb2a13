"""Waiting for something to become true. Owns the pace and the deadline, and says what was waited for."""

import time
from collections.abc import Callable

from lab.errors import LabError

_PACE_SECONDS = 0.005


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return as soon as the condition holds. Raises LabError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(_PACE_SECONDS)
