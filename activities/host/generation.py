"""The generation of the ruleset: a number that the kernel raises with every change of nftables.

Owns one question to the kernel: 0.1 ms, where listing a thousand rules takes 70. It tells nothing of what
changes without a transaction: counters, elements that packets add or that expire.

    generation = Generation()
    generation.read()   # -> 17
"""

import socket
import struct
import threading

from activities.host.netlink import NETFILTER, Netlink, attributes

# linux/netfilter/nf_tables.h: NFT_MSG_GETGEN of the subsystem NFNL_SUBSYS_NFTABLES, NFTA_GEN_ID.
_GET_GENERATION = 10 << 8 | 16
_FAMILY = struct.Struct("=BBH")
_ID = 1


class Generation:
    """Asks again and again over one socket, in the network namespace of the thread that asks first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._link: Netlink | None = None

    def read(self) -> int:
        """The generation now; raises OSError on a host without nftables."""
        with self._lock:
            self._link = self._link or Netlink(NETFILTER)
            try:
                answer = self._link.get(_GET_GENERATION, _FAMILY.pack(socket.AF_UNSPEC, 0, 0))
            except OSError:
                # An answer that comes late must not be taken for that to the next question.
                self._forget()
                raise
        return int.from_bytes(attributes(answer, _FAMILY.size)[_ID], "big")

    def close(self) -> None:
        """Close the socket."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
