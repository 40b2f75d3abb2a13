"""The generation of the ruleset: a number that the kernel raises with every change of nftables.

Owns one question to the kernel: 0.1 ms, where listing a thousand rules takes 70. It tells nothing of what
changes without a transaction: counters, elements that packets add or that expire.

    read_generation()   # -> 17
"""

import socket
import struct

from activities.host.netlink import NETFILTER, Netlink, attributes

# linux/netfilter/nf_tables.h: NFT_MSG_GETGEN of the subsystem NFNL_SUBSYS_NFTABLES, NFTA_GEN_ID.
_GET_GENERATION = 10 << 8 | 16
_FAMILY = struct.Struct("=BBH")
_ID = 1


def read_generation() -> int:
    """The generation in the calling thread's network namespace; raises OSError without nftables."""
    with Netlink(NETFILTER) as link:
        answer = link.get(_GET_GENERATION, _FAMILY.pack(socket.AF_UNSPEC, 0, 0))
    return int.from_bytes(attributes(answer, _FAMILY.size)[_ID], "big")
