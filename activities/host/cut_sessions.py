"""Which sessions of this host a mode cuts, among its sockets and its tracked flows.

Owns how a socket or a flow becomes a session with a near and a far end, and who opened it. Ends nothing.

    view = SessionView(mode, own, listening_ports())
    view.socket_is_cut(found), view.flow_is_cut(flow)
"""

import socket
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Literal

from activities.host.conntrack import Direction, Flow
from activities.host.sockets import Socket
from playbooks.isolation_modes import Mode, Session, cuts, cuts_forwarded

Address = IPv4Address | IPv6Address
_PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}
# /proc/thread-self is the calling thread's namespace; column 3 of a socket's line is its state (proc(5)).
_TABLES = ("/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6")
_LISTEN = "0A"


@dataclass(frozen=True)
class SessionView:
    """Sessions as this host sees them. `listening`: TCP ports that it accepts connections on."""

    mode: Mode
    own: Collection[Address]
    listening: Collection[int]

    def socket_is_cut(self, found: Socket) -> bool:
        """A socket on a port that is listened on was accepted; one whose listener is gone counts as opened here."""
        opened: Literal["in", "out"] = "in" if found.local_port in self.listening else "out"
        protocol = _PROTOCOLS.get(found.protocol, "")
        return cuts(
            self.mode,
            Session(found.local, found.local_port, found.remote, found.remote_port, protocol, opened),
        )

    def flow_is_cut(self, flow: Flow) -> bool:
        """A flow that was addressed to this host, or sent by it, has one near end; any other passes through."""
        far = _reversed(flow.reply)
        if flow.original.source in self.own:
            return cuts(self.mode, _session(flow.original, far, "out"))
        opened: Literal["in", "out"] = "in" if flow.original.destination in self.own else "out"
        if opened == "in" and flow.reply.source in self.own:
            return cuts(self.mode, _session(flow.reply, _reversed(flow.original), "in"))
        # Behind a translation the near end has its own address, and the far end sees the host's.
        ends = Direction(
            flow.original.source, flow.original.source_port, far.destination, far.destination_port, far.protocol
        )
        back = _reversed(ends)
        return cuts_forwarded(self.mode, (_session(ends, ends, opened), _session(back, back, opened)))


def listening_ports() -> frozenset[int]:
    """TCP ports of the calling thread's network namespace that somebody listens on."""
    ports = set()
    for table in _TABLES:
        path = Path(table)
        for line in path.read_text(encoding="ascii").splitlines()[1:] if path.exists() else ():
            _, local, _, state, *_ = line.split()
            if state == _LISTEN:
                ports.add(int(local.rpartition(":")[2], 16))
    return frozenset(ports)


def _reversed(found: Direction) -> Direction:
    return Direction(found.destination, found.destination_port, found.source, found.source_port, found.protocol)


def _session(near: Direction, far: Direction, opened: Literal["in", "out"]) -> Session:
    """The near end of one direction and the far end of the other: each without what a translation made of it."""
    return Session(
        local=near.source,
        local_port=near.source_port,
        remote=far.destination,
        remote_port=far.destination_port,
        protocol=_PROTOCOLS.get(near.protocol, ""),
        opened=opened,
    )
