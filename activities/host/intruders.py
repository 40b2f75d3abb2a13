"""Finding the processes behind the traffic that an alert accuses.

Owns the search: sockets to the accused destinations, then who holds them. Never signals anybody.

    find_intruders({ip_address("10.77.0.13")}, {5432}, hints=())
"""

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterable

from activities.contracts.host import MAX_PROCESSES, MAX_SOCKETS, Intruders, ProcessRef
from activities.host import processes
from activities.host.connects import host_port
from activities.host.executable_digests import Digests, HashLimits
from activities.host.sockets import Address, Socket, list_sockets
from segmentation.bounds import few

PERMISSIONS = processes.PERMISSIONS
# An isolated intruder's connect stays in SYN_SENT for as long as it cares to wait; a scanner's wait is short.
_SEARCH_SECONDS = 1.5
# Others of its group may just be between two tries.
_SETTLE_SECONDS = 0.3
_PACE_SECONDS = 0.01
# Whoever is to end a process waits for this: an executable that can't be hashed by then is named without.
_DESCRIBE_SECONDS = 12.0
_HASHES = HashLimits(file_seconds=1.0, total_seconds=3.0)


def find_intruders(destinations: Collection[Address], ports: Collection[int], hints: Iterable[ProcessRef]) -> Intruders:
    """Processes with sockets to the destinations and ports, and those hinted at that still live.

    An empty collection puts no limit, two empty ones accuse nothing. Takes up to 1.5 s when it finds nobody, and up to
    3 s more where executables come slowly.
    """
    search = _Search(frozenset(destinations), frozenset(ports))
    search.run()
    with Digests(time.monotonic() + _DESCRIBE_SECONDS, limits=_HASHES) as digests:
        found = {ref.pid: ref for hint in hints if (ref := _still_living(hint, digests))}
        found |= {ref.pid: ref for ref in search.described(digests)}
    named = sorted(found.values(), key=lambda ref: ref.pid)[:MAX_PROCESSES]
    return Intruders(
        processes=tuple(named),
        unattributed=few(sorted(search.unattributed), MAX_SOCKETS),
        left_out=search.not_described + len(found) - len(named),
    )


class _Search:
    """Looks again and again until somebody was found and a moment has passed, or the time is over."""

    def __init__(self, destinations: frozenset[Address], ports: frozenset[int]) -> None:
        self._destinations, self._ports = destinations, ports
        self._remotes: dict[int, str] = {}
        self._held: dict[tuple[int, int], set[str]] = defaultdict(set)
        self._attributed: set[int] = set()

    def run(self) -> None:
        deadline = time.monotonic() + _SEARCH_SECONDS
        if not self._destinations and not self._ports:
            return
        settled = False
        while time.monotonic() < deadline:
            self._look()
            if self._held and not settled:
                settled, deadline = True, min(deadline, time.monotonic() + _SETTLE_SECONDS)
            time.sleep(_PACE_SECONDS)

    def described(self, digests: Digests) -> Iterable[ProcessRef]:
        """Whoever holds accused sockets and still lives."""
        for (pid, start_ticks), remotes in list(self._held.items())[:MAX_PROCESSES]:
            ref = processes.describe(pid, remotes, digests)
            if ref is not None and ref.start_ticks == start_ticks:
                yield ref

    @property
    def not_described(self) -> int:
        """Holders beyond as many as are named."""
        return max(0, len(self._held) - MAX_PROCESSES)

    @property
    def unattributed(self) -> set[str]:
        """Accused sockets that no process of ours held when we looked."""
        return {remote for inode, remote in self._remotes.items() if inode not in self._attributed}

    def _look(self) -> None:
        matching = {found.inode: found for found in list_sockets(udp=True) if found.inode and self._accused(found)}
        fresh = matching.keys() - self._attributed
        self._remotes |= {inode: host_port(s.remote, s.remote_port) for inode, s in matching.items()}
        for pid, inodes in processes.owners(fresh).items():
            stat = processes.stat(pid)
            self._attributed |= inodes
            if stat is not None and pid != os.getpid():
                self._held[(pid, stat.start_ticks)] |= {self._remotes[inode] for inode in inodes}

    def _accused(self, found: Socket) -> bool:
        return (not self._destinations or found.remote in self._destinations) and (
            not self._ports or found.remote_port in self._ports
        )


def _still_living(hint: ProcessRef, digests: Digests) -> ProcessRef | None:
    found = processes.describe(hint.pid, hint.sockets, digests)
    return found if found is not None and found.start_ticks == hint.start_ticks else None
