"""The ledger's database: connections, transactions and locks.

Owns what differs between SQLite and PostgreSQL, so that the rooms of the ledger are one code path. A write
is one transaction that is durable when it returns. Never knows a table.

    with database.write() as connection:
        database.lock(connection, "audit")
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from activities.ledger.errors import LedgerUnusable

BUSY_TIMEOUT_MS = 15_000
DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "sqlite": "sqlite"}


class Database:
    """One engine; safe for threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.sqlite = engine.dialect.name == "sqlite"
        # SQLite has one writer. Waiting on a lock here wakes at once; its own busy handler sleeps in growing
        # steps.
        self._writer: threading.Lock | nullcontext[None] = threading.Lock() if self.sqlite else nullcontext()
        # SQLite reads one state by itself; PostgreSQL would show each statement of a transaction a newer one.
        snapshot = {} if self.sqlite else {"isolation_level": "REPEATABLE READ"}
        self._reader = engine.execution_options(firebreak_read=True, **snapshot)

    @classmethod
    def open(cls, url: str) -> "Database":
        """Connect to `sqlite:///PATH` or `postgresql://...`.

        Raises:
            LedgerUnusable: the address is none of these.
        """
        target = _driver_url(url)
        if target.get_backend_name() == "sqlite":
            Path(target.database or "").parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # The connection that was used last has the pages and statements that the next one needs.
            engine = create_engine(target, pool_use_lifo=True, hide_parameters=True)
            event.listen(engine, "connect", _set_pragmas)
            event.listen(engine, "begin", _begin_sqlite)
        else:
            engine = create_engine(target, pool_pre_ping=True, isolation_level="READ COMMITTED", hide_parameters=True)
        return cls(engine)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its beginning: it never fails half-way for it."""
        with self._writer, self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only look at one committed state."""
        with self._reader.begin() as connection:
            yield connection

    def lock(self, connection: Connection, name: str) -> None:
        """Until the transaction ends, nobody else passes this point with the same name."""
        if not self.sqlite:
            key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": key})

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _driver_url(url: str) -> URL:
    try:
        target = make_url(url)
    except ArgumentError as error:
        raise LedgerUnusable(
            "The ledger's address is not a database URL.",
            hint="Use sqlite:////absolute/path/ledger.db or postgresql://user@host/database.",
        ) from error
    backend = target.get_backend_name()
    if backend not in DRIVERS:
        raise LedgerUnusable(
            f"The ledger can't live in {backend}: SQLite or PostgreSQL was expected.",
            hint="Use sqlite:////absolute/path/ledger.db or postgresql://user@host/database.",
        )
    if backend == "sqlite" and target.database in {None, "", ":memory:"}:
        raise LedgerUnusable("A ledger in memory would forget.", hint="Name a file: sqlite:////absolute/path/ledger.db")
    return target.set(drivername=DRIVERS[backend])


def _set_pragmas(connection: Any, _record: object) -> None:
    # The driver must not begin transactions on its own: it would begin them deferred.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"pragma busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("pragma journal_mode=wal")
    # FULL syncs the log at every commit: an alert that was answered with 202 survives a power loss.
    cursor.execute("pragma synchronous=full")
    cursor.execute("pragma foreign_keys=on")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("firebreak_read", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
