"""Doing the same to several targets side by side.

Owns the threads and what becomes of a target that fails or takes its time: an answer of its own, never the failure of
all. What is still under way when the answer is due goes on; whoever repeats it finds it done or half done, and both
are fine.

    answers = side_by_side(verbs.apply_change, orders)   # one for each order, in their order
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from activities.contracts.killswitch import Refused
from segmentation.errors import FirebreakError

AT_ONCE = 16
# Shorter than the fast path's patience: whoever is silent must not cost the others their answer.
SECONDS = 8.0

Order = TypeVar("Order")
Answer = TypeVar("Answer")


def side_by_side(do: Callable[[Order], Answer], orders: Sequence[Order]) -> tuple[Answer | Refused, ...]:
    """What came of each order within the time."""
    pool = ThreadPoolExecutor(min(AT_ONCE, len(orders)), thread_name_prefix="target")
    try:
        futures = [pool.submit(do, order) for order in orders]
        wait(futures, timeout=SECONDS)
        return tuple(map(_answer, futures))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _answer(future: Future[Answer]) -> Answer | Refused:
    if not future.done():
        return Refused(code="platform-silent", reason=f"It took longer than {SECONDS:g} s.", retryable=True)
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, FirebreakError):
        return Refused(code=error.code, reason=error.summary, hint=error.hint, retryable=error.retryable)
    raise error
