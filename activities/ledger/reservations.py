"""Reservations: which targets were given to automatic containment, so that limits hold across incidents.

Owns the count and that it is taken and compared in one step, whichever dispatcher asks. What is too many is the
asker's rule. A reservation is never taken back: one whose containment comes to nothing counts for its hour all the
same, which errs towards people deciding.

    ledger.reservations.reserve("inc-1", {"web": "app=shop"}, judge, now)   # -> {} or {"web": "too many"}
"""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, distinct, func, insert, select

from activities.ledger.database import Database
from activities.ledger.tables import containments
from segmentation.workloads import Frozen

WINDOW = timedelta(hours=1)
# Older ones count for nothing, and tell only what the audit chain tells better.
KEPT = timedelta(days=1)


class Taken(Frozen):
    """Different targets that were reserved within the last hour, without the one in question."""

    targets: int
    of_group: int


# A target's id and what is taken already; answers why it may not be contained, or nothing.
Judge = Callable[[str, Taken], str]


class Reservations:
    """The reservations' room of the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(
        self, incident_id: str, targets: Mapping[str, str], judge: Judge, now: datetime, *, hold: bool = True
    ) -> dict[str, str]:
        """Reserve those of an incident's targets that the judge lets through, one after the other.

        `targets` are ids with the group of each, empty for none; returns why not, by id. One that was let through
        before is judged by the others alone and, if it still may, counts from now: its containment has not begun.
        Without `hold` nothing is written: the incident runs already.
        """
        with self._database.write() if hold else self._database.read() as connection:
            if hold:
                self._database.lock(connection, "containments")
            window = _Window(connection, targets, now)
            refused = {target_id: reason for target_id in targets if (reason := window.judge(target_id, judge))}
            if hold:
                _hold(connection, incident_id, {t: g for t, g in targets.items() if t not in refused}, now)
        return refused


class _Window:
    """What the last hour holds, and what is let through on top of it."""

    def __init__(self, connection: Connection, targets: Mapping[str, str], now: datetime) -> None:
        within = containments.c.at > now - WINDOW
        counted = select(containments.c.group, func.count(distinct(containments.c.target_id)).label("held")).where(
            within
        )
        known = select(containments.c.target_id, containments.c.group).where(
            within, containments.c.target_id.in_(list(targets))
        )
        self._targets = targets
        # A target whose label changed meanwhile counts in both groups: one too many rather than one too few.
        rows = connection.execute(counted.group_by(containments.c.group)).all()
        self._groups = Counter({row.group: row.held for row in rows})
        self._known = {(target_id, group) for target_id, group in connection.execute(known)}

    def judge(self, target_id: str, judge: Judge) -> str:
        """Why not; else it counts for those who come after it."""
        group = self._targets[target_id]
        own = {of for known, of in self._known if known == target_id}
        taken = Taken(
            targets=self._groups.total() - len(own),
            of_group=self._groups[group] - (group in own) if group else 0,
        )
        reason = judge(target_id, taken)
        if not reason and group not in own:
            self._groups[group] += 1
        return reason


def _hold(connection: Connection, incident_id: str, targets: Mapping[str, str], now: datetime) -> None:
    ours = (containments.c.incident_id == incident_id) & containments.c.target_id.in_(list(targets))
    connection.execute(delete(containments).where(ours | (containments.c.at < now - KEPT)))
    if targets:
        rows = [{"incident_id": incident_id, "target_id": t, "group": g, "at": now} for t, g in targets.items()]
        connection.execute(insert(containments), rows)
