"""What a mode matches in a packet, as nftables expressions. Pure.

Owns the translation of `playbooks.isolation_modes.cuts` into matches on headers. Knows no chain and no verdict.

    outgoing(mode)   # -> one list of expressions for each kind of packet that leaves towards what the mode names
"""

from collections.abc import Sequence
from ipaddress import IPv4Network

from playbooks.isolation_modes import (
    Address,
    BlockPeer,
    BlockPort,
    Isolate,
    Mode,
    Network,
    Protocol,
    Reach,
    Service,
)
from playbooks.nftables import Expr, match, meta, payload

_SYN, _ACK = "syn", "ack"


def incoming(mode: Mode) -> list[list[Expr]]:
    """Packets that come in from what the mode names."""
    return _named(mode, outwards=False)


def outgoing(mode: Mode) -> list[list[Expr]]:
    """Packets that go out to what the mode names."""
    return _named(mode, outwards=True)


def answering() -> Expr:
    """Packets that answer whoever opened their session."""
    return match(_ct("direction"), "reply")


def published(addresses: Sequence[Address]) -> list[list[Expr]]:
    """Forwarded sessions that were addressed to the host itself before a translation sent them on."""
    groups = (("ip", 4), ("ip6", 6))
    wanted = {name: sorted(str(a) for a in addresses if a.version == version) for name, version in groups}
    return [
        [match(meta("nfproto"), f"ipv{version}"), match(_ct(f"{name} daddr", "original"), {"set": wanted[name]})]
        for name, version in groups
        if wanted[name]
    ]


def _named(mode: Mode, *, outwards: bool) -> list[list[Expr]]:
    match mode:
        case Isolate():
            return [found for reach in mode.allow for found in _reach(reach, outwards=outwards)]
        case BlockPeer():
            return [[_peers(peers, outwards=outwards)] for peers in mode.peers]
        case BlockPort():
            return [[found] for service in mode.services for found, _ in _ports(service, outwards=outwards)]
        case _:
            return []


def _reach(reach: Reach, *, outwards: bool) -> list[list[Expr]]:
    peers = _peers(reach.peers, outwards=outwards)
    if reach.service is None:
        return [[peers]]
    protocol = reach.service.protocol
    return [
        [peers, port, *(_not_opening(protocol) if answering else [])]
        for port, answering in _ports(reach.service, outwards=outwards)
    ]


def _peers(network: Network, *, outwards: bool) -> Expr:
    family = "ip" if isinstance(network, IPv4Network) else "ip6"
    whole = network.prefixlen == network.max_prefixlen
    prefix = {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}
    return match(payload(family, "daddr" if outwards else "saddr"), str(network.network_address) if whole else prefix)


def _ports(service: Service, *, outwards: bool) -> list[tuple[Expr, bool]]:
    """The port where a packet of this way has it, and whether the packet is the serving side's."""
    local, remote = ("sport", "dport") if outwards else ("dport", "sport")
    found = []
    if service.direction in ("in", "both"):
        found.append((match(payload(service.protocol, local), service.port), outwards))
    if service.direction in ("out", "both"):
        found.append((match(payload(service.protocol, remote), service.port), not outwards))
    return found


def _not_opening(protocol: Protocol) -> list[Expr]:
    """The serving side of TCP never opens. By flags: a session older than its tracking has no state yet."""
    if protocol != "tcp":
        return []
    flags: Expr = {"&": [payload("tcp", "flags"), {"|": [_SYN, _ACK]}]}
    return [match(flags, _SYN, op="!=")]


def _ct(key: str, direction: str = "") -> Expr:
    return {"ct": {"key": key} | ({"dir": direction} if direction else {})}
