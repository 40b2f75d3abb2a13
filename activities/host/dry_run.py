"""Rehearsing a change: what nft says to its very batch, and what may cut the lifeline afterwards.

Owns the words for both. Changes nothing: nft sends the batch to the kernel without its end, so that each command is
checked and none committed (nft(8), --check). What the kernel validates at the commit alone is not seen.

    dry_run(change, nft)     # -> DryRun(refusals=(), warnings=())
"""

from collections.abc import Iterator

from activities.contracts.host import MAX_LINES, DryRun
from activities.host.chain_verdicts import Chains, Objects, Packet, Place
from activities.host.connects import connect_all
from activities.host.nft import Nft, NftRefused
from activities.host.ownership import check_own
from activities.host.probes import LIFELINE_TIMEOUT_MS
from activities.host.standing import utc_now
from playbooks.host_isolation import HostChange, lifeline_of
from playbooks.isolation_rules import Endpoint
from segmentation.bounds import cut, few

_NOT_LOOPBACK = frozenset({"lo"})
# The hooks that a packet of this host passes, on its way out and in (nft(8), address families).
_HOOKS = {"out": ("output", "postrouting", "egress"), "in": ("ingress", "prerouting", "input")}
_FAMILIES = {4: ("ip", "inet", "netdev"), 6: ("ip6", "inet", "netdev")}


def dry_run(change: HostChange, nft: Nft) -> DryRun:
    """Have nft check the batch, and look at what else decides on the lifeline.

    Raises:
        ForeignChange: the change touches more than its own table.
        NftUnavailable: nft can't be run here.
    """
    check_own(change)
    warnings = (*_refused_by_others(change, nft.list_ruleset()), *_silent_now(change))
    return DryRun(at=utc_now(), refusals=_refusals(change, nft), warnings=few(warnings, MAX_LINES))


def _refusals(change: HostChange, nft: Nft) -> tuple[str, ...]:
    if change.empty:
        return ()
    try:
        nft.check(change.commands)
    except NftRefused as error:
        return (cut(error.summary),)
    return ()


def _silent_now(change: HostChange) -> Iterator[str]:
    """An endpoint that does not answer now will not answer through fewer rules either."""
    wanted = [(address, port) for address, port, protocol in lifeline_of(change) if protocol == "tcp"]
    for (address, port), attempt in zip(wanted, connect_all(wanted, timeout_ms=LIFELINE_TIMEOUT_MS), strict=True):
        if attempt.outcome != "connected":
            yield f"{_words((address, port, 'tcp'))} of the lifeline does not answer now: {attempt.outcome}"


def _refused_by_others(change: HostChange, objects: Objects) -> Iterator[str]:
    chains = Chains(objects)
    for place, chain in chains.base.items():
        if place[1] == change.table:
            continue
        for endpoint in lifeline_of(change):
            for way, packet in (("out", _leaving(endpoint)), ("in", _answering(endpoint))):
                if chain["hook"] in _HOOKS[way] and place[0] in _FAMILIES[endpoint[0].version]:
                    yield from _said(chains, place, packet, endpoint, way)


def _said(chains: Chains, place: Place, packet: Packet, endpoint: Endpoint, way: str) -> Iterator[str]:
    outcomes = chains.outcomes(place, packet)
    if "drop" not in outcomes:
        return
    does = "drops" if outcomes == {"drop"} else "may drop"
    what = f"the lifeline to {_words(endpoint)}" if way == "out" else f"the answers of {_words(endpoint)}"
    yield f"chain {' '.join(place)} (priority {chains.base[place].get('prio', 0)}) {does} {what}"


def _leaving(endpoint: Endpoint) -> Packet:
    address, port, protocol = endpoint
    network = _network(endpoint)
    facts = {f"{network} daddr": address, f"{protocol} dport": port, "th dport": port, "ct state": "new"}
    return facts | _common(endpoint) | {"meta oif": _NOT_LOOPBACK, "meta oifname": _NOT_LOOPBACK}


def _answering(endpoint: Endpoint) -> Packet:
    address, port, protocol = endpoint
    network = _network(endpoint)
    facts = {f"{network} saddr": address, f"{protocol} sport": port, "th sport": port, "ct state": "established"}
    return facts | _common(endpoint) | {"meta iif": _NOT_LOOPBACK, "meta iifname": _NOT_LOOPBACK}


def _common(endpoint: Endpoint) -> dict[str, object]:
    address, _, protocol = endpoint
    header = "protocol" if address.version == 4 else "nexthdr"  # noqa: PLR2004 - the version of IP
    return {
        "network": _network(endpoint),
        "meta nfproto": f"ipv{address.version}",
        "meta protocol": _network(endpoint),
        "meta l4proto": protocol,
        f"{_network(endpoint)} {header}": protocol,
    }


def _network(endpoint: Endpoint) -> str:
    return "ip" if endpoint[0].version == 4 else "ip6"  # noqa: PLR2004 - the version of IP


def _words(endpoint: Endpoint) -> str:
    address, port, protocol = endpoint
    return f"{address if address.version == 4 else f'[{address}]'}:{port}/{protocol}"  # noqa: PLR2004 - the version of IP
