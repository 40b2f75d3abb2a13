"""The nftables batches that isolate a host. Pure.

Owns tables, chains and rules of an isolation. Knows no incident: what it needs is a name, the lifeline and a
lease.

    inet("firebreak_i1", [(ip_address("10.78.0.1"), 7233, "tcp")], lease_seconds=900, log_group=5)
"""

import itertools
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from playbooks import mode_rules
from playbooks.isolation_modes import ISOLATE_ALL, EgressOnly, Isolate, IsolateAll, Mode, tag
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
# What a bridged frame may be to the host: every kind there is on that hook (linux/if_packet.h).
BRIDGED = ("host", "broadcast", "multicast", "other")


def inet(
    name: str,
    lifeline: Sequence[Endpoint],
    *,
    lease_seconds: int | None,
    log_group: int | None,
    mode: Mode = ISOLATE_ALL,
    own: Sequence[IPv4Address | IPv6Address] = (),
) -> list[NftCommand]:
    """Drop what comes in, goes out or passes through, as far as the mode says; without a lease no dead-man."""
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
        chain = hook + tag(mode)
        batch.append(base_chain("inet", name, chain, hook=hook, priority=_PRIORITY))
        batch.extend(rule("inet", name, chain, expr) for expr in [*rules, *_of_mode(mode, hook, log_group, own)])
    return batch


def bridge(name: str, *, lease_seconds: int | None) -> list[NftCommand]:
    """Drop what passes through the host below IP; armed by the kind of frame, so that later bridges are held too."""
    batch = _fresh("bridge", name)
    guard: list[list[Expr]] = []
    if lease_seconds is not None:
        batch.append(timeout_set("bridge", name, "armed", "pkt_type", dict.fromkeys(BRIDGED, lease_seconds)))
        guard = [[match(meta("pkttype"), "@armed", op="!="), accept()]]
    batch.append(base_chain("bridge", name, "forward", hook="forward", priority=_PRIORITY))
    batch.extend(rule("bridge", name, "forward", expr) for expr in [*guard, *_cut(None)])
    return batch


def egress(
    name: str,
    devices: Sequence[str],
    lifeline: Sequence[Endpoint],
    *,
    lease_seconds: int | None,
    mode: Mode = ISOLATE_ALL,
) -> list[NftCommand]:
    """Drop what leaves by a device: AF_PACKET senders never pass the inet output hook."""
    if isinstance(mode, EgressOnly):
        return []  # this hook does not know who opened a session
    # Keyed by device and not by protocol, so that frames of any ethertype are held while it is armed.
    guard = [] if lease_seconds is None else [[match(meta("oif"), "@armed", op="!="), accept()]]
    address_resolution = [match(meta("protocol"), "arp"), accept()]
    rules = [*guard, address_resolution, *_lifeline_out(lifeline), _discovery()]
    named = mode_rules.outgoing(mode)
    if isinstance(mode, Isolate):
        # A bridged or forwarded answer leaves by a device too.
        rules += [[*found, accept()] for found in (*named, *mode_rules.incoming(mode))]
    partial = not isinstance(mode, IsolateAll | Isolate)
    rules += [cut for found in named for cut in _cut(None, found)] if partial else _cut(None)
    return _on_devices(name, devices, rules, lease_seconds)


def refit_egress(
    name: str, devices: Sequence[str], batch: Sequence[NftCommand], *, lease_seconds: int | None
) -> list[NftCommand]:
    """The egress part of a batch again, for other devices: its rules are the same on each."""
    rules = [body(c) for c in batch if str(body(c).get("chain", "")).startswith(_EGRESS)]
    if not rules:
        return []
    of_one = [found["expr"] for found in rules if found["chain"] == rules[0]["chain"]]
    return _on_devices(name, devices, of_one, lease_seconds)


def undo(name: str, devices: Sequence[str], *, bridged: bool = False) -> list[NftCommand]:
    """Delete our tables, whether or not they stand."""
    families = ["inet", *(["netdev"] if devices else []), *(["bridge"] if bridged else [])]
    return [command for family in families for command in _fresh(family, name)[:2]]


def lifeline_in(rules: Sequence[list[Expr]]) -> tuple[Endpoint, ...]:
    """The endpoints that the rules of an output chain leave open; what a mode allows beside them comes later."""
    found: list[Endpoint] = []
    for expressions in itertools.takewhile(lambda expr: expr != _discovery(), rules):
        matches = [expr["match"] for expr in expressions if "payload" in expr.get("match", {}).get("left", {})]
        if matches:
            address, port = matches
            found.append((ip_address(address["right"]), port["right"], port["left"]["payload"]["protocol"]))
    return tuple(found)


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


def _of_mode(
    mode: Mode, hook: str, log_group: int | None, own: Sequence[IPv4Address | IPv6Address]
) -> list[list[Expr]]:
    """What follows the lifeline in a chain; through the host either end may be the one that is named."""
    named = [] if hook == "output" else mode_rules.incoming(mode)
    named += [] if hook == "input" else mode_rules.outgoing(mode)
    match mode:
        case IsolateAll():
            return _cut(log_group)
        case Isolate():
            return [*([*found, accept()] for found in named), *_cut(log_group)]
        case EgressOnly():
            if hook == "input":
                # What is not tracked, as router advertisements, is nobody's answer.
                return _cut(log_group, [mode_rules.answering()])
            spared = mode_rules.published(own) if hook == "forward" else [[mode_rules.answering()]]
            return [*([*found, accept()] for found in spared), *_cut(log_group)]
        case _:
            return [cut for found in named for cut in _cut(log_group, found)]


def _cut(log_group: int | None, found: Sequence[Expr] = ()) -> list[list[Expr]]:
    # The rate limit guards the log against being used to fill the disk; it never lets a packet through.
    announce: list[Expr] = [*found, {"limit": {"rate": 100, "per": "second"}}, log(log_group, LOG_PREFIX)]
    return [*([announce] if log_group is not None else []), [*found, {"counter": None}, drop()]]


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
