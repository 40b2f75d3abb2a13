"""Ending what an isolation has already silenced: sockets and tracked connections that are not the lifeline.

Owns the order: first who held them, then the end. The rules cut without any of this, so a failure here is
told, not raised.

    ended = end_sessions(observation.interfaces, intent.lifeline)
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from activities.contracts.host import ProcessRef
from activities.host import conntrack, processes, sockets
from activities.host.connects import host_port
from activities.host.interfaces import own_addresses
from playbooks.host_isolation import Interface, LifelineEndpoint

PERMISSIONS = (*conntrack.PERMISSIONS, *processes.PERMISSIONS)
_MAX_OWNERS = 64
T = TypeVar("T")


@dataclass
class Ended:
    """What was ended, who held it, and what could not be done."""

    sockets: int = 0
    connections: int = 0
    owners: tuple[ProcessRef, ...] = ()
    failures: list[str] = field(default_factory=list)


def end_sessions(interfaces: tuple[Interface, ...], lifeline: tuple[LifelineEndpoint, ...]) -> Ended:
    """End every session with somebody else than this host itself and the lifeline."""
    own = own_addresses(interfaces)
    ended = Ended()

    def attempt(what: str, act: Callable[[], T], otherwise: T) -> T:
        try:
            return act()
        except OSError as error:
            ended.failures.append(f"{what}: {error.strerror}")
            return otherwise

    held: tuple[sockets.Socket, ...] = attempt(
        "list sockets", lambda: sockets.abroad(sockets.list_sockets(), own, lifeline), ()
    )
    ended.owners = attempt("find the owners of sockets", lambda: _owners(held), ())
    ended.sockets = attempt("end sockets", lambda: sockets.destroy(held), 0)
    flows: tuple[conntrack.Flow, ...] = attempt(
        "list connections", lambda: tuple(conntrack.foreign(conntrack.list_flows(), own, lifeline)), ()
    )
    ended.connections = attempt("forget connections", lambda: conntrack.delete(flows), 0)
    return ended


def _owners(held: Iterable[sockets.Socket]) -> tuple[ProcessRef, ...]:
    """Not hashed: that can wait until somebody is accused."""
    remotes: dict[int, set[str]] = defaultdict(set)
    for found in held:
        remotes[found.inode].add(host_port(found.remote, found.remote_port))
    owners = list(processes.owners(remotes.keys()).items())[:_MAX_OWNERS]
    described = (
        processes.describe(pid, {remote for inode in inodes for remote in remotes[inode]}, hashed=False)
        for pid, inodes in owners
    )
    return tuple(ref for ref in described if ref is not None)
