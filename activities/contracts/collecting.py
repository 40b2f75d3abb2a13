"""Collecting from a host: the orders, and the answers with what was collected.

Pure shapes; carried out in `activities.host.collection`. An answer is a host's word: every bound here is one that an
honest host stays within by leaving out and saying so, and that a taken one does not get past.
"""

from typing import ClassVar

from pydantic import Field, IPvAnyAddress

from activities.contracts.evidence import CollectedItem
from activities.contracts.orders import Order, Testimony
from playbooks.forensics import Collector

# A ring of packets may have had more files: the newest are handed over, one item says how many are not.
MAX_ITEMS = 400


class FreezeOrder(Order):
    """freeze_recorder: close the flight recorder's ring without a gap and bring its files to the vault."""

    capture_seconds: int = Field(description="The full-length capture that starts at the freeze lasts this long.")


class CaptureOrder(Order):
    """finish_capture: wait for the full-length capture that the freeze began, then bring it to the vault."""

    capture_seconds: int


class CollectVolatileOrder(Order):
    """collect_volatile: sockets, processes and the like, each as one item."""

    collect: tuple[Collector, ...]
    budget_seconds: int
    files: tuple[str, ...] = Field(default=(), description="Absolute paths, for the collector `files`.")
    memory_max_mib: int = Field(default=256, ge=1, description="Bound for each process, for `memory`.")
    accused: tuple[IPvAnyAddress, ...] = Field(
        default=(), description="Whose processes `memory` is of; empty: anybody."
    )
    accused_ports: tuple[int, ...] = ()
    continues: str = Field(
        default="",
        description="The order that this one repeats: what was collected on that one is not collected again.",
    )


class Collected(Testimony):
    """The items of one collection."""

    # Registering repeats them in one payload, with what the incident knows beside them.
    max_bytes: ClassVar[int] = 1536 << 10

    items: tuple[CollectedItem, ...] = Field(max_length=MAX_ITEMS)
