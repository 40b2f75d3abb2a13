"""Keeping an isolation loaded while its lease runs, whoever flushes the ruleset.

Owns a subscription to nftables' own events and the loading anew. `nft flush ruleset`, the first line of many
distributions' stock configuration, erases every table of others too. Never prolongs a lease: what is loaded
again gets the time that was left. Remembers nothing itself: an agent that starts anew tells it what to hold
(`activities.host.reapply`).

    watcher = RulesetWatcher(nft, lambda tampering: log.warning(...))
    watcher.start()
    watcher.hold(change, until); ...; watcher.let_go(change.table); watcher.close()
"""

import contextlib
import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from activities.host.interfaces import read_interfaces
from activities.host.netlink import NETFILTER
from activities.host.nft import Nft
from activities.host.ruleset import Ruleset
from playbooks.host_isolation import HostChange, refit, renewal
from segmentation.errors import FirebreakError

# linux/netfilter/nfnetlink.h: NFNLGRP_NFTABLES is group 7; a bind mask counts from 1.
_NFTABLES_EVENTS = 1 << 6
# Rules of some hosts change all day: what is done after a change takes at most a twentieth of a core.
_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 0.2, 10.0
_SHARE = 20.0


@dataclass(frozen=True)
class Tampering:
    """Our table did not stand as it was applied. `failure` is empty when it stands again."""

    table: str
    noticed_at: datetime
    failure: str = ""


class Watcher(Protocol):
    """Who is told what has to stand."""

    def hold(self, change: HostChange, until: datetime) -> None:
        """From now on this change has to stand; one of endless lease for as long as it is held."""

    def let_go(self, table: str) -> None:
        """It is about to be lifted; returns when nobody will load it any more."""

    def when_changed(self, act: Callable[[], None]) -> None:
        """What to do now, and some time after the ruleset has changed."""


class NobodyWatches:
    """A host whose renewals alone repair what was flushed."""

    def hold(self, change: HostChange, until: datetime) -> None:
        """Nothing to remember."""

    def let_go(self, table: str) -> None:
        """Nothing to forget."""

    def when_changed(self, act: Callable[[], None]) -> None:
        """Never."""


class RulesetWatcher:
    """Watches in a thread of its own, in the network namespace of the thread that starts it."""

    def __init__(self, nft: Nft, on_tampering: Callable[[Tampering], None]) -> None:
        self._nft, self._on_tampering = nft, on_tampering
        self._held: dict[str, tuple[HostChange, datetime]] = {}
        self._lock = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread: threading.Thread | None = None
        self._afterwards: Callable[[], None] = lambda: None
        self._closing = False
        self._pause = _PAUSE_SECONDS

    def start(self) -> None:
        """Subscribe, then watch."""
        events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETFILTER)
        events.setblocking(False)
        events.bind((0, _NFTABLES_EVENTS))
        self._thread = threading.Thread(target=self._watch, args=(events,), name="ruleset-watcher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching; what stands goes on standing."""
        self._closing = True
        os.eventfd_write(self._wake, 1)
        if self._thread is not None:
            self._thread.join()
        os.close(self._wake)

    def hold(self, change: HostChange, until: datetime) -> None:
        """From now on this change has to stand."""
        with self._lock:
            self._held[change.table] = (change, until)

    def let_go(self, table: str) -> None:
        """It is about to be lifted."""
        with self._lock:
            self._held.pop(table, None)

    def when_changed(self, act: Callable[[], None]) -> None:
        """What to do soon and after each change, as rarely as its cost demands."""
        self._afterwards = act
        os.eventfd_write(self._wake, 1)

    def _watch(self, events: socket.socket) -> None:
        poller = select.poll()
        poller.register(events, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        due: float | None = None
        with events:
            while True:
                left = None if due is None else max(0.0, due - time.monotonic()) * 1000
                ready = {descriptor for descriptor, _ in poller.poll(left)}
                if self._closing:
                    return
                if self._wake in ready:
                    os.eventfd_read(self._wake)
                    due = time.monotonic()
                if events.fileno() in ready:
                    due = due or time.monotonic() + self._pause
                    self._look(events)
                elif due is not None:
                    due = None
                    self._act_afterwards()

    def _look(self, events: socket.socket) -> None:
        _drain(events)
        for tampering in self._repair_all():
            self._on_tampering(tampering)

    def _act_afterwards(self) -> None:
        begun = time.monotonic()
        with contextlib.suppress(FirebreakError, OSError):  # whoever needs it will meet the failure himself
            self._afterwards()
        self._pause = min(_MAX_PAUSE_SECONDS, max(_PAUSE_SECONDS, _SHARE * (time.monotonic() - begun)))

    def _repair_all(self) -> list[Tampering]:
        with self._lock:
            if not self._held:
                return []
            try:
                ruleset, devices = Ruleset(self._nft.list_ruleset()), [i.name for i in read_interfaces()]
            except (FirebreakError, OSError) as error:
                return [Tampering(table, datetime.now(UTC), f"can't look: {error}") for table in self._held]
            repairs = [self._repair(change, until, ruleset, devices) for change, until in list(self._held.values())]
        return [tampering for tampering in repairs if tampering is not None]

    def _repair(self, change: HostChange, until: datetime, ruleset: Ruleset, devices: list[str]) -> Tampering | None:
        now = datetime.now(UTC)
        left = int((until - now).total_seconds())
        if change.ends == "open" and left < 1:
            del self._held[change.table]
            return None
        present = refit(change, set(devices) & set(change.devices))
        if ruleset.holds(present):
            return None
        try:
            self._nft.apply((*present.commands, *renewal(present, left)))
        except FirebreakError as error:
            return Tampering(change.table, now, str(error))
        return Tampering(change.table, now)


def _drain(events: socket.socket) -> None:
    """Which event it was doesn't matter: the ruleset is looked at anyway."""
    with contextlib.suppress(BlockingIOError):
        while True:
            try:
                events.recv(1 << 16)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
