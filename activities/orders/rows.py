"""Rows of the agent's journal: on disk, and in memory for as long as the disk takes none.

Owns the SQLite file, its ballast, and which of the two has a row. Never knows when a row may go. A disk that is full
must not keep a host from being isolated: first the ballast is given up for the room it takes, then rows wait in memory
and go to the disk with the first write that succeeds.

    rows = Rows(state_dir / "journal.db")
    rows.write((Row("notes", ("o1", "key"), ("document",)),))     # all of them or none
    rows.get("notes", ("o1", "key"))                              # -> ("document",)
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Value = str | bytes | float | None
Key = tuple[str, ...]
_BALLAST_BYTES = 1 << 20
# Somebody who reads the journal by hand must not hold up a cut for long.
_BUSY_SECONDS = 0.5
_SCHEMA = """
create table if not exists orders (
  order_id text primary key, bound_to text not null, begun_at real not null, result blob, expires_at real);
create table if not exists notes (
  order_id text not null, key text not null, document text not null, primary key (order_id, key));
create table if not exists standings (name text primary key, document text not null);
"""


@dataclass(frozen=True)
class Table:
    """The statements of one table; every row is written whole."""

    put: str
    get: str
    every: str
    drop: str


TABLES: Mapping[str, Table] = {
    "orders": Table(
        "insert or replace into orders (order_id, bound_to, begun_at, result, expires_at) values (?, ?, ?, ?, ?)",
        "select bound_to, begun_at, result, expires_at from orders where order_id = ?",
        "select order_id, bound_to, begun_at, result, expires_at from orders",
        "delete from orders where order_id = ?",
    ),
    "notes": Table(
        "insert or replace into notes (order_id, key, document) values (?, ?, ?)",
        "select document from notes where order_id = ? and key = ?",
        "select order_id, key, document from notes",
        "delete from notes where order_id = ? and key = ?",
    ),
    "standings": Table(
        "insert or replace into standings (name, document) values (?, ?)",
        "select document from standings where name = ?",
        "select name, document from standings",
        "delete from standings where name = ?",
    ),
}


@dataclass(frozen=True)
class Row:
    """One row; without values it is to be gone."""

    table: str
    key: Key
    values: tuple[Value, ...] | None


class Rows:
    """The journal's storage; its caller holds the lock. `impaired` says why the disk takes nothing."""

    def __init__(self, path: Path) -> None:
        self._path, self._ballast = path, path.with_suffix(".ballast")
        self._waiting: dict[tuple[str, Key], Row] = {}
        self._db: sqlite3.Connection | None = None
        self.impaired = ""
        self._with_room(lambda: None)
        self._keep_ballast()

    def write(self, rows: Iterable[Row]) -> None:
        """Durable when this returns, unless the journal is impaired: then they are in memory."""
        self._waiting |= {(row.table, row.key): row for row in rows}
        if self._with_room(self._save):
            self._waiting.clear()

    def get(self, table: str, key: Key) -> tuple[Value, ...] | None:
        """The values of a row; None where there is none, or where an impaired disk does not tell."""
        waiting = self._waiting.get((table, key))
        if waiting is not None:
            return waiting.values
        found = self.select(TABLES[table].get, key)
        return found[0] if found else None

    def every(self, table: str) -> dict[Key, tuple[Value, ...]]:
        """All rows of a table."""
        length = TABLES[table].drop.count("?")
        rows = self.select(TABLES[table].every, ())
        found = {tuple(str(part) for part in row[:length]): row[length:] for row in rows}
        for (name, key), row in self._waiting.items():
            if name != table:
                continue
            found.pop(key, None)
            if row.values is not None:
                found[key] = row.values
        return found

    def waiting(self, table: str) -> tuple[Row, ...]:
        """Rows of a table that are in memory only, oldest first."""
        return tuple(row for row in self._waiting.values() if row.table == table)

    def forget(self, rows: Iterable[Row]) -> None:
        """Take rows out of memory that nobody needs any more."""
        for row in rows:
            self._waiting.pop((row.table, row.key), None)

    def select(self, statement: str, values: tuple[Value, ...] = ()) -> list[tuple[Value, ...]]:
        """Rows of the disk; none where it is impaired."""
        try:
            return self._open().execute(statement, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            self.impaired = str(error)
            return []

    def delete(self, order_ids: Sequence[Value]) -> int:
        """Delete orders with their notes from the disk; how many went, none where the disk is impaired."""
        each = [(order_id,) for order_id in order_ids]
        try:
            with self._transaction() as db:
                db.executemany("delete from notes where order_id = ?", each)
                gone = db.executemany("delete from orders where order_id = ?", each).rowcount
        except (sqlite3.Error, OSError) as error:
            self.impaired = str(error)
            return 0
        self._keep_ballast()
        return gone

    def used_bytes(self) -> int:
        """What rows take on the disk, without pages that are free to be used again."""
        pages, free, size = (
            sum(int(value or 0) for (value,) in self.select(f"pragma {what}"))
            for what in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _save(self) -> None:
        with self._transaction() as db:
            for row in self._waiting.values():
                table = TABLES[row.table]
                if row.values is None:
                    db.execute(table.drop, row.key)
                else:
                    db.execute(table.put, (*row.key, *row.values))

    def _with_room(self, act: Callable[[], None]) -> bool:
        """Do it, if need be with the room that the ballast has taken; whether it was done."""
        for _ in range(2):
            try:
                self._open()
                act()
            except (sqlite3.Error, OSError) as error:
                self.impaired = str(error)
                if not self._give_up_ballast():
                    return False
            else:
                self.impaired = ""
                return True
        return False

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._open()
        db.execute("begin immediate")
        try:
            yield db
            db.execute("commit")
        except BaseException:
            # SQLite has rolled back by itself where there was no room for the commit.
            with contextlib.suppress(sqlite3.Error):
                db.execute("rollback")
            raise

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = _connect(self._path)
        return self._db

    def _keep_ballast(self) -> None:
        if self._ballast.exists():
            return
        try:
            with self._ballast.open("xb") as ballast:
                os.posix_fallocate(ballast.fileno(), 0, _BALLAST_BYTES)
        except OSError:
            self._ballast.unlink(missing_ok=True)

    def _give_up_ballast(self) -> bool:
        try:
            self._ballast.unlink()
        except OSError:
            return False
        return True


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None)
    try:
        # FULL: a journal that loses its last line on power loss would let an order run twice.
        db.execute("pragma journal_mode=wal")
        db.execute("pragma synchronous=full")
        db.executescript(_SCHEMA)
        if "expires_at" not in {column for _, column, *_ in db.execute("pragma table_info(orders)")}:
            db.execute("alter table orders add column expires_at real")  # a journal of version 0.1
    except BaseException:
        db.close()
        raise
    return db
