"""Telling Temporal that an activity is at work, while it waits for what may take minutes.

Owns the beat: by the clock, so that it tells a worker that died from a busy one. How long the work itself may take is
bounded by its activity's own timeout.

    @activity.defn
    @beating()
    def seal_case(self, request: SealCase) -> SealRef: ...
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from threading import Event, Thread

from temporalio import activity

BEAT_SECONDS = 5.0


@contextmanager
def beating() -> Iterator[None]:
    """Beats until the end; nobody listens where it is not done for an activity."""
    if not activity.in_activity():
        yield
        return
    ended = Event()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            # Whoever passes it on may be busy: the next beat is soon enough.
            with suppress(TimeoutError):
                activity.heartbeat()

    # Its context is what makes a thread one of the activity's.
    thread = Thread(target=copy_context().run, args=(beat,), name="beating", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
