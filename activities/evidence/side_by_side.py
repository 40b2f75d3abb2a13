"""The same done to many things, a bounded number of them at once: each costs a round trip, and these need not queue.

Owns the bound, and the order of results and errors, which is that of the things. Tries nothing again.

    side_by_side(lambda item: vault.hold("inc-1", item, on=True), items)
"""

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

Thing = TypeVar("Thing")
Result = TypeVar("Result")
WIDTH = 16


def side_by_side(function: Callable[[Thing], Result], things: Iterable[Thing]) -> list[Result]:
    """What it returns for each.

    After an error nothing is begun any more, what was begun is ended, and the error of the first thing that has one is
    raised: whatever came before that one was done, as if they had been done one after another.
    """
    several = list(things)
    if len(several) == 1:
        return [function(several[0])]
    with ThreadPoolExecutor(WIDTH, thread_name_prefix="side-by-side") as pool:
        # A context each: whoever runs inside an activity still does in these threads.
        running = [pool.submit(copy_context().run, function, thing) for thing in several]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(cancel_futures=True)
    # Begun in their order: one that was called off has one that failed before it.
    return [future.result() for future in running]
