"""Ending what an isolation has already silenced: the sockets and tracked connections that its mode cuts.

Owns the order: first who held them, then the end. The rules cut without any of this, so a failure here is
told, not raised.

    ended = end_sessions(observation.interfaces, intent.lifeline, intent.mode)
"""

import errno
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from activities.contracts.host import MAX_PROCESSES, ProcessRef
from activities.host import conntrack, processes, sockets
from activities.host.connects import host_port
from activities.host.cut_sessions import SessionView, listening_ports
from activities.host.interfaces import own_addresses
from playbooks.host_isolation import Interface, LifelineEndpoint
from playbooks.isolation_modes import ISOLATE_ALL, EgressOnly, Mode
from segmentation.bounds import fitting

PERMISSIONS = (*conntrack.PERMISSIONS, *processes.PERMISSIONS)
_MAX_OWNERS = MAX_PROCESSES
# They are hints: an intruder's long names must not make the answer of a cut too large.
_MAX_OWNERS_BYTES = 128 << 10
T = TypeVar("T")


@dataclass
class Ended:
    """What was ended, who held it, and what could not be done."""

    sockets: int = 0
    connections: int = 0
    owners: tuple[ProcessRef, ...] = ()
    failures: list[str] = field(default_factory=list)


def end_sessions(
    interfaces: tuple[Interface, ...], lifeline: tuple[LifelineEndpoint, ...], mode: Mode = ISOLATE_ALL
) -> Ended:
    """End exactly what the mode cuts, never this host's sessions with itself or the lifeline."""
    own = own_addresses(interfaces)
    ended = Ended()

    def attempt(what: str, act: Callable[[], T], otherwise: T) -> T:
        try:
            return act()
        except OSError as error:
            ended.failures.append(f"{what}: {error.strerror}")
            return otherwise

    # Only there it matters who opened a session; listing what listens takes time.
    listening: frozenset[int] | None = frozenset()
    if isinstance(mode, EgressOnly):
        listening = attempt("list listening ports", listening_ports, None)
    view = SessionView(mode, own, listening or ())
    abroad: tuple[sockets.Socket, ...] = attempt(
        "list sockets", lambda: sockets.abroad(sockets.list_sockets(), own, lifeline), ()
    )
    # Without knowing what listens, an accepted session could be ended for one that was opened here.
    held = () if listening is None else tuple(found for found in abroad if view.socket_is_cut(found))
    ended.owners = attempt("find the owners of sockets", lambda: _owners(held), ())
    ended.sockets = attempt("end sockets", lambda: sockets.destroy(held), 0)
    foreign: tuple[conntrack.Flow, ...] = attempt(
        "list connections", lambda: tuple(conntrack.foreign(conntrack.list_flows(), own, lifeline)), ()
    )
    flows = [flow for flow in foreign if view.flow_is_cut(flow)]
    ended.connections = attempt("forget connections", lambda: _forget(flows, ended.failures), 0)
    return ended


def _forget(flows: list[conntrack.Flow], failures: list[str]) -> int:
    """One that a flowtable keeps to itself must not save the others; what became of it is unknown."""
    try:
        return conntrack.delete(flows)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
    refused = forgotten = 0
    for flow in flows:
        try:
            forgotten += conntrack.delete((flow,))
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            refused += 1
    failures.append(f"{refused} offloaded connections could not be forgotten: whether they are cut is unknown")
    return forgotten


def _owners(held: Iterable[sockets.Socket]) -> tuple[ProcessRef, ...]:
    """Not hashed: that can wait until somebody is accused."""
    remotes: dict[int, set[str]] = defaultdict(set)
    for found in held:
        remotes[found.inode].add(host_port(found.remote, found.remote_port))
    owners = list(processes.owners(remotes.keys()).items())[:_MAX_OWNERS]
    described = (
        processes.describe(pid, {remote for inode in inodes for remote in remotes[inode]}) for pid, inodes in owners
    )
    return fitting((ref for ref in described if ref is not None), _MAX_OWNERS_BYTES)
