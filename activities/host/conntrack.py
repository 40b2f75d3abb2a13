"""Connection tracking entries of this host, by ctnetlink, and forgetting them.

Owns listing and deletion by tuple. What the rules cut is cut without it: this ends what a flowtable forwards
past them, and lets nothing resume as `established` when the isolation is lifted.

    delete(foreign(list_flows(), own_addresses, lifeline))
"""

import errno
import socket
import struct
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from activities.host.netlink import NETFILTER, Netlink, attribute, attributes
from playbooks.host_isolation import LifelineEndpoint

PERMISSIONS = ("CAP_NET_ADMIN",)
# linux/netfilter/nfnetlink_conntrack.h
_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2
_FAMILY = struct.Struct("=BBH")
_TUPLE_ORIGINAL, _TUPLE_REPLY, _FLOW_ID, _ZONE = 1, 2, 12, 18
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_SOURCES, _DESTINATIONS = (1, 3), (2, 4)
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}

Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Direction:
    """One direction of a flow."""

    source: Address
    source_port: int
    destination: Address
    destination_port: int
    protocol: int


@dataclass(frozen=True)
class Flow:
    """A tracked flow; `raw` names this very entry to the kernel."""

    family: int
    original: Direction
    reply: Direction
    raw: bytes


def list_flows() -> Iterator[Flow]:
    """Every tracked flow of the calling thread's network namespace."""
    with Netlink(NETFILTER) as link:
        for payload in link.dump(_GET, _FAMILY.pack(socket.AF_UNSPEC, 0, 0)):
            yield _parse(payload)


def foreign(flows: Iterable[Flow], own: Collection[Address], lifeline: Iterable[LifelineEndpoint]) -> Iterator[Flow]:
    """Flows that leave or cross this host and are not of the lifeline."""
    kept = {(e.address, e.port, e.protocol) for e in lifeline}
    return (flow for flow in flows if not _is_inside(flow, own) and not _ends(flow) & kept)


def delete(flows: Iterable[Flow], *, limit_seconds: float = 1.0) -> int:
    """Forget these flows; how many were, within the time. Raises OSError with the kernel's reason."""
    deadline = time.monotonic() + limit_seconds
    deleted = 0
    with Netlink(NETFILTER) as link:
        for flow in flows:
            try:
                link.ask(_DELETE, _FAMILY.pack(flow.family, 0, 0) + flow.raw)
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise
            else:
                deleted += 1
            if time.monotonic() > deadline:
                break
    return deleted


def _is_inside(flow: Flow, own: Collection[Address]) -> bool:
    ends = (flow.original.source, flow.original.destination)
    return all(end.is_loopback or end in own for end in ends)


def _ends(flow: Flow) -> set[tuple[Address, int, str]]:
    """Where the flow goes, as its sender and, behind an address translation, as its peer sees it."""
    protocol = _PROTOCOLS.get(flow.original.protocol, "")
    original, reply = flow.original, flow.reply
    return {
        (original.destination, original.destination_port, protocol),
        (reply.source, reply.source_port, protocol),
    }


def _parse(payload: bytes) -> Flow:
    family = _FAMILY.unpack_from(payload)[0]
    found = attributes(payload, _FAMILY.size)
    raw = attribute(_TUPLE_ORIGINAL, found[_TUPLE_ORIGINAL], nested=True)
    # With its id, so that a later flow with the same ends is left alone.
    raw += b"".join(attribute(kind, found[kind]) for kind in (_FLOW_ID, _ZONE) if kind in found)
    return Flow(family, _direction(found[_TUPLE_ORIGINAL]), _direction(found[_TUPLE_REPLY]), raw)


def _direction(payload: bytes) -> Direction:
    parts = attributes(payload)
    ends, protocol = attributes(parts[_TUPLE_IP]), attributes(parts[_TUPLE_PROTOCOL])
    return Direction(
        source=ip_address(next(ends[kind] for kind in _SOURCES if kind in ends)),
        source_port=int.from_bytes(protocol.get(_SOURCE_PORT, b""), "big"),
        destination=ip_address(next(ends[kind] for kind in _DESTINATIONS if kind in ends)),
        destination_port=int.from_bytes(protocol.get(_DESTINATION_PORT, b""), "big"),
        protocol=protocol.get(_NUMBER, b"\0")[0],
    )
