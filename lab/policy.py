"""The segmentation policy that stands on every host of the lab before anything happens.

Owns the text of one default-deny nftables table. Never loads it. There are no counters in it: a ruleset
that was restored must compare equal to the one before.

    ruleset_for(HOSTS_BY_NAME["db"])   # -> "table inet segmentation { ... }"
"""

from lab.topology import (
    DATA_INTERFACE,
    EDGES,
    GATEWAY_IPV4,
    GATEWAY_IPV6,
    HOSTS_BY_NAME,
    MGMT_INTERFACE,
    Edge,
    HostSpec,
)

DENIAL_GROUP = 5
DENIAL_PREFIX = "deny "

# snaplen: ulogd reads headers only.
_TEMPLATE = """table inet segmentation {{
  chain input {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname "lo" accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
    iifname "{mgmt}" ip saddr {gateway4} accept
    iifname "{mgmt}" ip6 saddr {gateway6} accept
{allowed}
    log prefix "{prefix}" group {group} snaplen 128 drop
  }}
}}
"""


def _rules(edge: Edge) -> list[str]:
    source = HOSTS_BY_NAME[edge.source]
    tail = f'{edge.protocol} dport {edge.port} accept comment "{edge.source}: {edge.purpose}"'
    return [
        f'    iifname "{DATA_INTERFACE}" ip saddr {source.ipv4} {tail}',
        f'    iifname "{DATA_INTERFACE}" ip6 saddr {source.ipv6} {tail}',
    ]


def ruleset_for(host: HostSpec) -> str:
    """The ruleset of one host, as `nft -f -` reads it."""
    allowed = [rule for edge in EDGES if edge.destination == host.name for rule in _rules(edge)]
    return _TEMPLATE.format(
        mgmt=MGMT_INTERFACE,
        gateway4=GATEWAY_IPV4,
        gateway6=GATEWAY_IPV6,
        allowed="\n".join(allowed),
        prefix=DENIAL_PREFIX,
        group=DENIAL_GROUP,
    )
