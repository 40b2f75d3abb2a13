"""For which reasons the kernel drops packets on somebody's word, by the numbers of this kernel.

Owns the choice: what a policy drops, not what is damaged, late or addressed to nobody. Needs tracefs.

    drop_reasons()      # -> {12: "NETFILTER_DROP", 16: "IP_RPFILTER", ...}
"""

import re
from pathlib import Path

# include/net/dropreason-core.h; bpftrace/denials.bt takes as many. Not SOCKET_FILTER: that is a program's own taste.
POLICIES = (
    "NETFILTER_DROP",
    "IP_RPFILTER",
    "XFRM_POLICY",
    "BPF_CGROUP_EGRESS",
    "TC_INGRESS",
    "TC_EGRESS",
    "XDP",
    "SECURITY_HOOK",
    "IP_LOCAL_SOURCE",
    "TCP_AUTH_HDR",
)
_FORMAT = Path("/sys/kernel/tracing/events/skb/kfree_skb/format")
_REASON = re.compile(r'\{ (\d+), "([A-Z0-9_]+)" \}')


def drop_reasons() -> dict[int, str]:
    """Those that this kernel knows; empty where it names none, or shows none."""
    try:
        known = {name: int(number) for number, name in _REASON.findall(_FORMAT.read_text(encoding="utf-8"))}
    except OSError:
        return {}
    return {known[name]: name for name in POLICIES if name in known}
