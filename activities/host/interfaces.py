"""The network devices of this host with their addresses and its bridges, by rtnetlink.

Owns two dumps of rtnetlink(7), 0.3 ms together: this stands between an order and the cut. Never changes a
device.

    read_interfaces()   # -> (Interface(name="lo", ...), Interface(name="eth0", ...))
"""

import contextlib
import socket
import struct
from collections import defaultdict
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from pydantic import ValidationError

from activities.host.netlink import ROUTE, Netlink, attribute, attributes
from playbooks.host_isolation import Interface

_GETLINK, _GETADDR = 18, 22
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_IFLA_ADDRESS, _IFLA_NAME, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_EXT_MASK = 1, 3, 10, 18, 29
_IFLA_INFO_KIND = 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
# Counters of every device are most of a dump, and nobody here reads them (rtnetlink.h:
# RTEXT_FILTER_SKIP_STATS).
_SKIP_STATS = attribute(_IFLA_EXT_MASK, struct.pack("=I", 1 << 3))

Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Links:
    """The devices of a host in the order of their indexes, and the names of its bridges that have ports."""

    interfaces: tuple[Interface, ...]
    bridges: tuple[str, ...]


def read_interfaces() -> tuple[Interface, ...]:
    """Every device of the calling thread's network namespace, in the order of their indexes."""
    return read_links().interfaces


def read_links() -> Links:
    """Devices and bridges of the calling thread's network namespace, from the same dump."""
    with Netlink(ROUTE) as link:
        links = list(link.dump(_GETLINK, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + _SKIP_STATS))
        addresses = _by_index(list(link.dump(_GETADDR, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0))))
    found = (_interface(payload, addresses) for payload in links)
    interfaces = sorted((interface for interface in found if interface), key=lambda i: i.ifindex)
    return Links(tuple(interfaces), _bridges(links))


def own_addresses(interfaces: tuple[Interface, ...]) -> frozenset[Address]:
    """Addresses whose traffic stays on this host."""
    return frozenset(address for interface in interfaces for address in interface.addresses)


def _interface(payload: bytes, addresses: dict[int, list[Address]]) -> Interface | None:
    """None for a name that no rule can carry: such a device must not keep a host from being cut."""
    index = _LINK.unpack_from(payload)[2]
    found = attributes(payload, _LINK.size)
    with contextlib.suppress(ValidationError, UnicodeDecodeError):
        return Interface(
            name=found[_IFLA_NAME].rstrip(b"\0").decode(),
            ifindex=index,
            mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
            addresses=tuple(addresses[index]),
        )
    return None


def _bridges(payloads: list[bytes]) -> tuple[str, ...]:
    """Bridges that another device is a port of."""
    links = {_LINK.unpack_from(payload)[2]: attributes(payload, _LINK.size) for payload in payloads}
    masters = {struct.unpack("=I", found[_IFLA_MASTER])[0] for found in links.values() if _IFLA_MASTER in found}
    used = (links[index] for index in masters & links.keys())
    names = (found[_IFLA_NAME].rstrip(b"\0").decode(errors="replace") for found in used if _is_bridge(found))
    return tuple(sorted(names))


def _is_bridge(found: dict[int, bytes]) -> bool:
    kind = attributes(found.get(_IFLA_LINKINFO, b"")).get(_IFLA_INFO_KIND, b"")
    return kind.rstrip(b"\0") == b"bridge"


def _by_index(payloads: list[bytes]) -> dict[int, list[Address]]:
    found: dict[int, list[Address]] = defaultdict(list)
    for payload in payloads:
        values = attributes(payload, _ADDRESS.size)
        # On a point-to-point link IFA_ADDRESS is the other end's (if_addr.h).
        value = values.get(_IFA_LOCAL, values.get(_IFA_ADDRESS))
        if value is not None:
            found[_ADDRESS.unpack_from(payload)[4]].append(ip_address(value))
    return found
