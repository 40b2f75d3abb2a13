"""How often what was refused, and why. Owns counters alone: nothing of a refused message is kept."""

from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import AwareDatetime
from sqlalchemy import insert, select, update

from activities.ledger.database import Database
from activities.ledger.tables import refusals
from segmentation.workloads import Frozen


class RefusalCount(Frozen):
    """One counter."""

    source: str
    reason: str
    count: int
    last_at: AwareDatetime


class Refusals:
    """The refusals' room of the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, source: str, reason: str) -> None:
        """Count one; the caller passes names that we chose, never ones that a message chose."""
        self.count_all({(source, reason): 1})

    def count_all(self, counted: Mapping[tuple[str, str], int]) -> None:
        """Count several in one transaction, by source and reason."""
        now = datetime.now(UTC)
        with self._database.write() as connection:
            self._database.lock(connection, "refusals")
            for (source, reason), number in counted.items():
                mine = (refusals.c.source == source) & (refusals.c.reason == reason)
                more = {"count": refusals.c.count + number, "last_at": now}
                if connection.execute(update(refusals).where(mine).values(more)).rowcount == 0:
                    row = {"source": source, "reason": reason, "count": number, "last_at": now}
                    connection.execute(insert(refusals).values(row))

    def counts(self) -> list[RefusalCount]:
        """Every counter."""
        rows = select(refusals).order_by(refusals.c.source, refusals.c.reason)
        with self._database.read() as connection:
            return [RefusalCount(**row) for row in connection.execute(rows).mappings()]
