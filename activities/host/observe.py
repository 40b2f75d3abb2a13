"""What this host looks like now: devices, addresses, ruleset.

Owns the Observation of a host. Read-only; a millisecond, because it stands between an order and the cut.

    observer = HostObserver("9f2c...", nft, read_boot_id())
    seen = observer.observe()      # seen.observation, seen.ruleset
"""

import os
import platform
from dataclasses import dataclass

from activities.host.generation import Generation
from activities.host.interfaces import read_links
from activities.host.nft import Nft
from activities.host.ruleset import Ruleset
from playbooks.host_isolation import HostObservation

# /proc/self is the process: a thread that moved into another network namespace sees itself only here.
_OWN_NETNS = "/proc/thread-self/ns/net"


@dataclass(frozen=True)
class Seen:
    """An observation with the ruleset it was made from."""

    observation: HostObservation
    ruleset: Ruleset


class HostObserver:
    """Observes one host; what can't change before the next boot is read once.

    A ruleset that is known is not listed again before the kernel says that it changed.
    """

    def __init__(self, host_id: str, nft: Nft, boot_id: str) -> None:
        self._host_id = host_id
        self._nft = nft
        self.boot_id = boot_id
        self._kernel = platform.release()
        self._generation = Generation()
        self._known: tuple[int, Ruleset] | None = None

    def observe(self) -> Seen:
        """The host as it is; raises NftUnavailable or OSError when it can't be read."""
        ruleset = self._recall() or self.list_ruleset()
        links = read_links()
        observation = HostObservation(
            host_id=self._host_id,
            boot_id=self.boot_id,
            kernel=self._kernel,
            netns_inode=own_netns(),
            interfaces=links.interfaces,
            ruleset_digest=ruleset.digest,
            base_chains=ruleset.base_chains,
            firebreak_tables=ruleset.tables_in_force,
            ruleset_outline=ruleset.outline,
            bridges=links.bridges,
        )
        return Seen(observation, ruleset)

    def list_ruleset(self) -> Ruleset:
        """The ruleset, listed now, and remembered."""
        generation = self._generation.read()
        ruleset = Ruleset(self._nft.list_ruleset())
        # What was changed while it was listed may be half in it.
        self._known = (generation, ruleset) if self._generation.read() == generation else None
        return ruleset

    def warm(self) -> None:
        """Know the ruleset before it is asked for: reading a thousand rules takes longer than a cut."""
        if self._recall() is None:
            _ = self.list_ruleset().digest

    def close(self) -> None:
        """Close what it asks the kernel through."""
        self._generation.close()

    def _recall(self) -> Ruleset | None:
        """The known ruleset if it is still the one; never with our table: its dead-man lets go untold."""
        known = self._known
        if known is None or known[1].our_tables or known[0] != self._generation.read():
            return None
        return known[1]


def own_netns() -> int:
    """Inode of the calling thread's network namespace."""
    return os.stat(_OWN_NETNS).st_ino  # noqa: PTH116  Path.stat is measurably slower on the fast path
