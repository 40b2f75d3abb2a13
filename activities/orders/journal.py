"""The agent's journal: which orders were carried out, with what result.

Owns one SQLite file in the agent's state directory, synced before anything changes on the host. A retry of an order
finds its result here; so does a replay. Never holds a secret.

    journal = OrderJournal(state_dir / "journal.db")
    before = journal.note(order_id, "observation", observation_json)   # first writer wins
"""

import sqlite3
import threading
from pathlib import Path
from typing import ClassVar

from segmentation.errors import FirebreakError

SCHEMA = """
create table if not exists orders (
  order_id text primary key, bound_to text not null, begun_at real not null, result blob);
create table if not exists notes (
  order_id text not null, key text not null, document text not null, primary key (order_id, key));
"""


class OrderReplayed(FirebreakError):
    """The id of a known order came back from another workflow step."""

    code: ClassVar[str] = "order-replayed"


class OrderJournal:
    """Durable memory of orders; safe for the threads of one agent."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # FULL: a journal that loses its last line on power loss would let an order run twice.
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=full")
        self._db.executescript(SCHEMA)

    def begin(self, order_id: str, bound_to: str, now: float) -> bytes | None:
        """Note that an order is being carried out; its earlier result if there is one.

        `bound_to` names the workflow step that gave the order.

        Raises:
            OrderReplayed: the same id was given by another step.
        """
        with self._lock:
            self._db.execute("insert or ignore into orders values (?, ?, ?, null)", (order_id, bound_to, now))
            row = self._db.execute("select bound_to, result from orders where order_id = ?", (order_id,)).fetchone()
        if row[0] != bound_to:
            raise OrderReplayed(
                f"Order {order_id} was given by {row[0]} and came back from {bound_to}.",
                hint="Somebody copies orders: look at who can write to this host's queue.",
            )
        result: bytes | None = row[1]
        return result

    def finish(self, order_id: str, result: bytes) -> None:
        """Keep the result of an order for its retries."""
        with self._lock:
            self._db.execute("update orders set result = ? where order_id = ?", (result, order_id))

    def note(self, order_id: str, key: str, document: str) -> str:
        """Keep a document unless one is kept already; returns the one that is kept."""
        with self._lock:
            self._db.execute("insert or ignore into notes values (?, ?, ?)", (order_id, key, document))
            row = self._db.execute(
                "select document from notes where order_id = ? and key = ?", (order_id, key)
            ).fetchone()
        return str(row[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()
