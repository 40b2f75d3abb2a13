"""Lists that several observations ask for at the same moment: asked for once.

Owns how long one answer serves, and when it no longer does. Ten targets of one incident in one namespace differ in
their pods alone; what stands around them is the same, and asking for it ten times costs the server and us the time
in which they should have been cut.

A quarter of a second is no more than what passes between observing and applying anyway: what changes in it is found
when a setting is read before it is written.
"""

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from threading import Lock

from activities.kubernetes.calls import Calls, Raw
from activities.kubernetes.places import Place

FRESH_SECONDS = 0.25
_Key = tuple[Place, str, str, bool]


@dataclass
class _Asked:
    begun: float = field(default_factory=time.monotonic)
    answer: Future[list[Raw]] = field(default_factory=Future)


class SharedLists:
    """The lists of one cluster, asked for by `pool`. What they return belongs to everybody: it is read, never changed.

    A list that is under way already costs whoever asks for it no thread either: of ten targets nine start none.
    """

    def __init__(self, calls: Calls, pool: Executor, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls, self._pool = calls, pool
        self._clock = clock
        self._asked: dict[_Key, _Asked] = {}
        self._lock = Lock()

    def ask(
        self, place: Place, *, labels: str = "", fields: str = "", metadata_only: bool = False
    ) -> Future[list[Raw]]:
        """As `Calls.every`; begun a quarter of a second ago at most."""
        key = (place, labels, fields, metadata_only)
        asked, is_mine = self._join(key)
        if is_mine:
            self._pool.submit(self._answer, key, asked)
        return asked.answer

    def _answer(self, key: _Key, asked: _Asked) -> None:
        place, labels, fields, metadata_only = key
        try:
            found = self._calls.every(place, labels=labels, fields=fields, metadata_only=metadata_only)
        except BaseException as error:  # noqa: BLE001 - raised in everybody who waits for it
            # A refusal is for those who wait for it now; the next one asks again.
            self._drop(key, asked)
            asked.answer.set_exception(error)
        else:
            asked.answer.set_result(found)

    def forget(self) -> None:
        """Something was written: who looks from now on asks anew."""
        with self._lock:
            self._asked.clear()

    def _join(self, key: _Key) -> tuple[_Asked, bool]:
        now = self._clock()
        with self._lock:
            self._asked = {one: asked for one, asked in self._asked.items() if now - asked.begun < FRESH_SECONDS}
            if key in self._asked:
                return self._asked[key], False
            self._asked[key] = _Asked(now)
            return self._asked[key], True

    def _drop(self, key: _Key, asked: _Asked) -> None:
        with self._lock:
            if self._asked.get(key) is asked:
                del self._asked[key]
