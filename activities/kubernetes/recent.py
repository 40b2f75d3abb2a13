"""What an observation has just read, so that applying need not read it again before it writes.

Owns for how long that serves, and for whom: the next call about the same target of the same incident, and no other.
What is written names the version of the object that it replaces: the server finds out one that has changed since.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Lock

from activities.kubernetes.calls import Raw
from activities.kubernetes.places import Api, Place

RECENT_SECONDS = 1.0
Whose = tuple[str, str]


@dataclass
class Snapshot:
    """Objects by place; and collections that were read whole, which tell what is not there as well."""

    objects: dict[Place, Raw] = field(default_factory=dict)
    whole: set[tuple[Api, str]] = field(default_factory=set)

    def note(self, place: Place, found: Raw) -> None:
        """An object was read."""
        self.objects[place] = found

    def note_all(self, api: Api, namespace: str, found: Iterable[Raw]) -> None:
        """All objects of a namespace were read; without one, all of the cluster."""
        self.whole.add((api, namespace))
        for one in found:
            self.note(Place(api, namespace, one["metadata"]["name"]), one)

    def knows(self, place: Place) -> bool:
        """Whether what is at this place, or that nothing is, was read."""
        return place in self.objects or (not place.subresource and (place.api, place.namespace) in self.whole)


class Recent:
    """The latest snapshot of each target."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._snapshots: dict[Whose, tuple[float, Snapshot]] = {}
        self._lock = Lock()

    def note(self, whose: Whose, snapshot: Snapshot) -> None:
        """A target was observed."""
        with self._lock:
            self._drop_old()
            self._snapshots[whose] = (self._clock(), snapshot)

    def take(self, whose: Whose) -> Snapshot:
        """What was read of a target just now, once; empty where that is too long ago."""
        with self._lock:
            self._drop_old()
            return self._snapshots.pop(whose, (0.0, Snapshot()))[1]

    def _drop_old(self) -> None:
        oldest = self._clock() - RECENT_SECONDS
        self._snapshots = {whose: seen for whose, seen in self._snapshots.items() if seen[0] > oldest}
