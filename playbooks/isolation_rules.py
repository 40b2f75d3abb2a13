"""The nftables batches that isolate a host. Pure.

Owns tables, chains and rules of an isolation. Knows no incident: what it needs is a name, the lifeline and a
lease.

    inet("firebreak_i1", [(ip_address("10.78.0.1"), 7233, "tcp")], lease_seconds=900, log_group=5)
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from playbooks.nftables import (
    Expr,
    NftCommand,
    accept,
    base_chain,
    drop,
    log,
    match,
    meta,
    payload,
    rule,
    table,
    timeout_set,
)

# Begins every log line of what an isolation drops; how flows tell it from a breach of policy.
LOG_PREFIX = "firebreak "
Endpoint = tuple[IPv4Address | IPv6Address, int, str]

# Before other filters (0), after conntrack (-200): at -300 the states match neither new nor established.
_PRIORITY = -10
# Neighbour discovery (RFC 4861): without it a cut host also loses the IPv6 lifeline.
_NEIGHBOUR_DISCOVERY = ["nd-neighbor-solicit", "nd-neighbor-advert"]
_ND_HOP_LIMIT = 255
_EGRESS = "egress_"


def inet(
    name: str, lifeline: Sequence[Endpoint], *, lease_seconds: int | None, log_group: int | None
) -> list[NftCommand]:
    """Drop what comes in, goes out or passes through; without a lease there is no dead-man."""
    batch = _fresh("inet", name)
    guard: list[list[Expr]] = []
    if lease_seconds is not None:
        timeouts = {"ipv4": lease_seconds, "ipv6": lease_seconds}
        batch.append(timeout_set("inet", name, "armed", "nf_proto", timeouts))
        # The dead-man: once the elements expire, every packet leaves the chain here.
        guard = [[match(meta("nfproto"), "@armed", op="!="), accept()]]
    chains = {
        "input": [*guard, [match(meta("iif"), "lo"), accept()], *_lifeline_in(lifeline), _discovery()],
        "output": [*guard, [match(meta("oif"), "lo"), accept()], *_lifeline_out(lifeline), _discovery()],
        "forward": guard,
    }
    for hook, rules in chains.items():
        batch.append(base_chain("inet", name, hook, hook=hook, priority=_PRIORITY))
        batch.extend(rule("inet", name, hook, expr) for expr in [*rules, *_cut(log_group)])
    return batch


def egress(
    name: str, devices: Sequence[str], lifeline: Sequence[Endpoint], *, lease_seconds: int | None
) -> list[NftCommand]:
    """Drop what leaves by a device: AF_PACKET senders never pass the inet output hook."""
    # Keyed by device and not by protocol, so that frames of any ethertype are held while it is armed.
    guard = [] if lease_seconds is None else [[match(meta("oif"), "@armed", op="!="), accept()]]
    address_resolution = [match(meta("protocol"), "arp"), accept()]
    rules = [*guard, address_resolution, *_lifeline_out(lifeline), _discovery(), *_cut(None)]
    return _on_devices(name, devices, rules, lease_seconds)


def refit_egress(
    name: str, devices: Sequence[str], batch: Sequence[NftCommand], *, lease_seconds: int | None
) -> list[NftCommand]:
    """The egress part of a batch again, for other devices: its rules are the same on each."""
    rules = [body(c) for c in batch if str(body(c).get("chain", "")).startswith(_EGRESS)]
    of_one = [found["expr"] for found in rules if found["chain"] == rules[0]["chain"]]
    return _on_devices(name, devices, of_one, lease_seconds)


def undo(name: str, devices: Sequence[str]) -> list[NftCommand]:
    """Delete our tables, whether or not they stand."""
    families = ["inet", *(["netdev"] if devices else [])]
    return [command for family in families for command in _fresh(family, name)[:2]]


def body(command: NftCommand) -> dict[str, Any]:
    """The object of a command, without its kind."""
    found: dict[str, Any] = next(iter(next(iter(command.values())).values()))
    return found


def _on_devices(
    name: str, devices: Sequence[str], rules: list[list[Expr]], lease_seconds: int | None
) -> list[NftCommand]:
    if not devices:
        return []
    batch = _fresh("netdev", name)
    if lease_seconds is not None:
        batch.append(timeout_set("netdev", name, "armed", "iface_index", dict.fromkeys(devices, lease_seconds)))
    for device in devices:
        chain = _EGRESS + _identifier(device)
        batch.append(base_chain("netdev", name, chain, hook="egress", priority=_PRIORITY, device=device))
        batch.extend(rule("netdev", name, chain, expr) for expr in rules)
    return batch


def _identifier(device: str) -> str:
    """A device's name as part of a chain's: nft 1.0.6 does not list which device an egress chain is on."""
    return "".join(c if c.isascii() and c.isalnum() else "_" + c.encode().hex() for c in device)


def _fresh(family: str, name: str) -> list[NftCommand]:
    # nft 1.0.6 has no `destroy`: add makes the delete valid whether or not a table stands.
    return [{"add": table(family, name)}, {"delete": table(family, name)}, {"add": table(family, name)}]


def _cut(log_group: int | None) -> list[list[Expr]]:
    # The rate limit guards the log against being used to fill the disk; it never lets a packet through.
    announce: list[Expr] = [{"limit": {"rate": 100, "per": "second"}}, log(log_group, LOG_PREFIX)]
    return [*([announce] if log_group is not None else []), [{"counter": None}, drop()]]


def _discovery() -> list[Expr]:
    # Hop limit 255 proves that the packet is from this link (RFC 4861, 6.1.1).
    kinds = match(payload("icmpv6", "type"), {"set": _NEIGHBOUR_DISCOVERY})
    return [kinds, match(payload("ip6", "hoplimit"), _ND_HOP_LIMIT), accept()]


def _lifeline_out(lifeline: Sequence[Endpoint]) -> list[list[Expr]]:
    return [[*_endpoint(e, "daddr", "dport"), accept()] for e in lifeline]


def _lifeline_in(lifeline: Sequence[Endpoint]) -> list[list[Expr]]:
    answered = match({"ct": {"key": "state"}}, ["established"], op="in")
    return [[*_endpoint(e, "saddr", "sport"), answered, accept()] for e in lifeline]


def _endpoint(endpoint: Endpoint, address_field: str, port_field: str) -> list[Expr]:
    address, port, protocol = endpoint
    family = "ip" if isinstance(address, IPv4Address) else "ip6"
    return [match(payload(family, address_field), str(address)), match(payload(protocol, port_field), port)]
