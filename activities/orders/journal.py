"""The agent's journal: which orders were carried out, with what result, and what stands because of them.

Owns replay protection and how long it lasts, in one SQLite file in the agent's state directory, synced before anything
changes on the host. A retry of an order finds its result here; so does a replay. Never holds a secret. A disk that
takes nothing impairs it: then orders are kept in memory, bounded, and `impaired` says why.

    journal = OrderJournal(state_dir / "journal.db")
    earlier = journal.begin(order_id, bound_to, now, expires_at)       # raises OrderReplayed
    before = journal.note(order_id, "was_standing", "true")            # first writer wins
    journal.keep_standing("firebreak_inc_1", document)                 # to be loaded again after a reboot
"""

import threading
from pathlib import Path
from typing import ClassVar

from activities.orders.rows import Row, Rows, Value
from segmentation.errors import FirebreakError

# What has expired is refused before the journal is asked. It is kept a while: somebody may set the clock back.
KEEP_SECONDS = 7 * 86_400.0
# An order of which no expiry is known counts as expired so long after it began.
UNKNOWN_LIFE_SECONDS = 30 * 86_400.0
MAX_BYTES = 64 << 20
MAX_IN_MEMORY = 256
PRUNE_EVERY_SECONDS = 3_600.0
_BATCH = 500
_EXPIRED = (
    "select order_id from orders where coalesce(expires_at, begun_at + ?) < ? "
    "order by coalesce(expires_at, begun_at + ?) limit ?"
)


class OrderReplayed(FirebreakError):
    """The id of a known order came back from another workflow step."""

    code: ClassVar[str] = "order-replayed"


class OrderJournal:
    """Durable memory of orders; safe for the threads of one agent."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._rows = Rows(path)
        self._pruned_at = 0.0

    @property
    def impaired(self) -> str:
        """Why what happens now would be forgotten by a restart; empty while the disk takes it."""
        return self._rows.impaired

    def begin(self, order_id: str, bound_to: str, now: float, expires_at: float | None = None) -> bytes | None:
        """Note that an order is being carried out; its earlier result if there is one.

        `bound_to` names the workflow step that gave the order; times are seconds since the epoch.

        Raises:
            OrderReplayed: the same id was given by another step.
        """
        with self._lock:
            known = self._rows.get("orders", (order_id,))
            if known is None:
                self._rows.write((Row("orders", (order_id,), (bound_to, now, None, expires_at)),))
                self._bound_memory(now)
        if known is not None and known[0] != bound_to:
            raise OrderReplayed(
                f"Order {order_id} was given by {known[0]!s} and came back from {bound_to}.",
                hint="Somebody copies orders: look at who can write to this host's queue.",
            )
        return _bytes(known[2]) if known is not None else None

    def finish(self, order_id: str, result: bytes) -> None:
        """Keep the result of an order for its retries."""
        with self._lock:
            known = self._rows.get("orders", (order_id,))
            if known is not None:
                bound_to, begun_at, _, expires_at = known
                self._rows.write((Row("orders", (order_id,), (bound_to, begun_at, result, expires_at)),))

    def note(self, order_id: str, key: str, document: str) -> str:
        """Keep a document unless one is kept already; returns the one that is kept."""
        with self._lock:
            kept = self._rows.get("notes", (order_id, key))
            if kept is not None:
                return str(kept[0])
            self._rows.write((Row("notes", (order_id, key), (document,)),))
        return document

    def keep_standing(self, name: str, document: str) -> None:
        """Keep what stands under this name, in place of what is kept."""
        with self._lock:
            self._rows.write((Row("standings", (name,), (document,)),))

    def drop_standing(self, name: str) -> None:
        """Nothing stands under this name any more."""
        with self._lock:
            self._rows.write((Row("standings", (name,), None),))

    def standing(self, name: str) -> str | None:
        """What stands under this name."""
        with self._lock:
            found = self._rows.get("standings", (name,))
        return str(found[0]) if found is not None else None

    def standings(self) -> dict[str, str]:
        """Everything that stands, by its name."""
        with self._lock:
            return {name: str(document) for (name,), (document,) in self._rows.every("standings").items()}

    def prune_if_due(self, now: float) -> None:
        """Prune once in a while."""
        if now - self._pruned_at > PRUNE_EVERY_SECONDS:
            self.prune(now)

    def prune(self, now: float, *, keep_seconds: float = KEEP_SECONDS, max_bytes: int = MAX_BYTES) -> int:
        """Drop orders that expired long ago; over the size the oldest that have expired at all. How many.

        An order that can still be carried out is never dropped: its replay would be.
        """
        with self._lock:
            self._pruned_at = now
            dropped = 0
            while batch := self._drop_expired(now - keep_seconds):
                dropped += batch
            while self._rows.used_bytes() > max_bytes and (batch := self._drop_expired(now)):
                dropped += batch
        return dropped

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._rows.close()

    def _drop_expired(self, before: float) -> int:
        found = self._rows.select(_EXPIRED, (UNKNOWN_LIFE_SECONDS, before, UNKNOWN_LIFE_SECONDS, _BATCH))
        expired = [order_id for (order_id,) in found]
        # In one transaction: a note without its order would never go.
        return self._rows.delete(expired) if expired else 0

    def _bound_memory(self, now: float) -> None:
        """A disk that is full for long must not fill the memory: what has expired is forgotten, then the oldest."""
        waiting = self._rows.waiting("orders")
        valid = [row for row in waiting if _expires_at(row) >= now]
        kept = {row.key[0] for row in valid[-MAX_IN_MEMORY:]}
        gone = {row.key[0] for row in waiting} - kept
        if gone:
            self._rows.forget(
                row for table in ("orders", "notes") for row in self._rows.waiting(table) if row.key[0] in gone
            )


def _expires_at(row: Row) -> float:
    _, begun_at, _, expires_at = row.values or ("", 0.0, None, 0.0)
    return float(expires_at if expires_at is not None else float(begun_at or 0) + UNKNOWN_LIFE_SECONDS)


def _bytes(value: Value) -> bytes | None:
    return value if isinstance(value, bytes) else None
