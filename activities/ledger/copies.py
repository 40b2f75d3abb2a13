"""How much of each case's chains is in the vault: written after a copy succeeded, never before, and never less.

Owns the marks and what is still to be copied. Whoever can write to the vault can't write here: a copy that is shorter
than its mark was cut.
"""

from datetime import UTC, datetime

from sqlalchemy import Connection, Table, func, insert, select, update

from activities.contracts.copies import Copied
from activities.ledger.database import Database
from activities.ledger.tables import custody_events, evidence_copies, manifests


class Copies:
    """The marks of every case."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, case_id: str) -> Copied | None:
        """How far the copy is known to reach; None: nothing was ever copied."""
        with self._database.read() as connection:
            return _find(connection, case_id)

    def note(self, case_id: str, *, manifests: int, custody: int) -> None:
        """The vault has so many of each; fewer than it is known to have changes nothing."""
        if _reaches(self.find(case_id), manifests, custody):
            return
        with self._database.write() as connection:
            self._database.lock(connection, f"copies:{case_id}")
            known = _find(connection, case_id)
            if known is not None and _reaches(known, manifests, custody):
                return
            row = {"manifests": manifests, "custody": custody, "at": datetime.now(UTC)}
            if known is None:
                connection.execute(insert(evidence_copies).values(case_id=case_id, **row))
                return
            row |= {"manifests": max(manifests, known.manifests), "custody": max(custody, known.custody)}
            mine = evidence_copies.c.case_id == case_id
            connection.execute(update(evidence_copies).where(mine).values(**row))

    def behind(self) -> list[str]:
        """Cases of which a link was chained that no copy is known to have reached."""
        with self._database.read() as connection:
            found = {*_behind(connection, manifests, "manifests"), *_behind(connection, custody_events, "custody")}
        return sorted(found)


def _find(connection: Connection, case_id: str) -> Copied | None:
    known = evidence_copies.c
    query = select(known.manifests, known.custody, known.at).where(known.case_id == case_id)
    row = connection.execute(query).one_or_none()
    return Copied(manifests=row.manifests, custody=row.custody, at=row.at) if row is not None else None


def _reaches(known: Copied | None, manifests: int, custody: int) -> bool:
    return known is not None and known.manifests >= manifests and known.custody >= custody


def _behind(connection: Connection, chain: Table, name: str) -> list[str]:
    # The ends first, from the key's index alone: documents are not read.
    ends = select(chain.c.case_id, func.max(chain.c.seq).label("seq")).group_by(chain.c.case_id).subquery()
    query = select(ends.c.case_id).outerjoin(evidence_copies, evidence_copies.c.case_id == ends.c.case_id)
    return list(connection.execute(query.where(ends.c.seq > func.coalesce(evidence_copies.c[name], 0))).scalars())
