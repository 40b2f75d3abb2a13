"""TCP and UDP sockets of this host, by sock_diag(7), and ending them.

Owns listing and SOCK_DESTROY. Never decides which sockets may live: `abroad` leaves out what never leaves the
host, the caller gives the lifeline.

    for found in list_sockets():
        found.remote, found.remote_port, found.inode
    destroy(found)       # the peer hears nothing: its reset is dropped by the isolation
"""

import errno
import socket
import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from activities.host.netlink import SOCK_DIAG, Netlink, attributes
from playbooks.host_isolation import LifelineEndpoint

PERMISSIONS = ("CAP_NET_ADMIN",)
ESTABLISHED, SYN_SENT = 1, 2
_TIME_WAIT, _CLOSE, _LISTEN = 6, 7, 10
_BY_FAMILY, _DESTROY = 20, 21
# linux/inet_diag.h: inet_diag_req_v2 is family, protocol, extensions, states, id; inet_diag_msg begins alike.
_REQUEST = struct.Struct("=BBBxI48s")
_ID = struct.Struct("=2s2s16s16sI8s")
_MESSAGE = struct.Struct("=BBBB48sIIIII")
_WITH_TCP_INFO = 1 << 1
_TCP_INFO = 2
_UNACKED, _LAST_DATA_RECEIVED, _LAST_ACK_RECEIVED = 24, 52, 56
_CONNECTED = 0xFFF & ~(1 << _TIME_WAIT | 1 << _CLOSE | 1 << _LISTEN | 1)

Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Socket:
    """One connected socket. `heard_ms_ago` and `unacknowledged` are TCP's own, None for UDP."""

    family: int
    protocol: int
    state: int
    local: Address
    local_port: int
    remote: Address
    remote_port: int
    inode: int
    raw_id: bytes
    heard_ms_ago: int | None = None
    unacknowledged: int | None = None


def list_sockets(*, udp: bool = False) -> Iterator[Socket]:
    """Connected TCP sockets of the calling thread's network namespace; on demand UDP with a fixed peer."""
    protocols = [(socket.IPPROTO_TCP, _CONNECTED)] + ([(socket.IPPROTO_UDP, 1 << ESTABLISHED)] if udp else [])
    with Netlink(SOCK_DIAG) as link:
        for protocol, states in protocols:
            for family in (socket.AF_INET, socket.AF_INET6):
                request = _REQUEST.pack(family, protocol, _WITH_TCP_INFO, states, bytes(48))
                try:
                    yield from (_parse(protocol, payload) for payload in link.dump(_BY_FAMILY, request))
                except OSError as error:
                    # A kernel without udp_diag says so; TCP's is never missing where a host can be isolated.
                    if protocol == socket.IPPROTO_TCP or error.errno != errno.ENOENT:
                        raise


def destroy(sockets: Iterable[Socket]) -> int:
    """End these sockets with ECONNABORTED for their owners; how many were still there to be ended.

    Raises:
        OSError: the kernel has no SOCK_DESTROY (CONFIG_INET_DIAG_DESTROY) or the right is missing.
    """
    ended = 0
    with Netlink(SOCK_DIAG) as link:
        for found in sockets:
            try:
                link.ask(_DESTROY, _REQUEST.pack(found.family, found.protocol, 0, _CONNECTED, found.raw_id))
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise
            else:
                ended += 1
    return ended


def abroad(
    sockets: Iterable[Socket], own: Collection[Address], lifeline: Iterable[LifelineEndpoint]
) -> tuple[Socket, ...]:
    """Sockets whose peer is neither this host itself nor an endpoint of the lifeline."""
    kept = {(e.address, e.port, e.protocol) for e in lifeline}
    return tuple(
        s for s in sockets
        if not s.remote.is_loopback and s.remote not in own
        and (s.remote, s.remote_port, "tcp" if s.protocol == socket.IPPROTO_TCP else "udp") not in kept
    )  # fmt: skip


def _parse(protocol: int, payload: bytes) -> Socket:
    family, state, _, _, raw_id, _, _, _, _, inode = _MESSAGE.unpack_from(payload)
    local_port, remote_port, local, remote, _, _ = _ID.unpack(raw_id)
    info = attributes(payload, _MESSAGE.size).get(_TCP_INFO, b"")
    return Socket(
        family=family,
        protocol=protocol,
        state=state,
        local=_address(family, local),
        local_port=int.from_bytes(local_port, "big"),
        remote=_address(family, remote),
        remote_port=int.from_bytes(remote_port, "big"),
        inode=inode,
        raw_id=raw_id,
        heard_ms_ago=min(_uint(info, _LAST_DATA_RECEIVED), _uint(info, _LAST_ACK_RECEIVED)) if info else None,
        unacknowledged=_uint(info, _UNACKED) if info else None,
    )


def _uint(data: bytes, offset: int) -> int:
    value: int = struct.unpack_from("=I", data, offset)[0]
    return value


def _address(family: int, raw: bytes) -> Address:
    """An IPv4 peer of an IPv6 socket is an IPv4 peer."""
    address = ip_address(raw[:4] if family == socket.AF_INET else raw)
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
