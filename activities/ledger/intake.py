"""Intake: an alert becomes a line of the outbox and belongs to an incident, in one committed transaction.

Owns the replay check, the correlation and the outbox. An alert is durable before its sender hears of it,
whether Temporal runs or not. Never talks to Temporal: the dispatcher reads `pending` and says what it has
handed over.

    accepted = ledger.intake.accept(received)   # -> Accepted(incident_id="inc-4f...", known=False, count=3)
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import AwareDatetime
from sqlalchemy import Connection, Row, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from activities.ledger.correlation import correlation_key
from activities.ledger.database import Database
from activities.ledger.hosts import Hosts
from activities.ledger.projection import open_incident
from activities.ledger.tables import incidents, outbox
from playbooks.alerts import ReceivedAlert
from segmentation.workloads import Frozen

SCAN_ROWS = 20_000
UPDATE_ROWS = 500

_REPLAYED = select(outbox.c.incident_id).where(
    outbox.c.source == bindparam("source"), outbox.c.webhook_id == bindparam("webhook_id")
)
_OPEN = select(incidents.c.incident_id, incidents.c.alerts).where(
    incidents.c.correlation_key == bindparam("key"), incidents.c.status == "open"
)
_COUNT = update(incidents).where(incidents.c.incident_id == bindparam("wanted"))


class Accepted(Frozen):
    """What intake answers; `count` is how many alerts the incident has counted."""

    incident_id: str
    known: bool
    count: int


class PendingBatch(Frozen):
    """Alerts of one incident that were not handed over yet; `new`: nothing of the incident ever was."""

    incident_id: str
    correlation_key: str
    count: int
    first: ReceivedAlert
    last_received_at: AwareDatetime
    outbox_ids: tuple[int, ...]
    new: bool


class Intake:
    """The intake's room of the ledger.

    `on_commit` is called after each commit, in the thread that committed.
    """

    def __init__(self, database: Database, known: Hosts) -> None:
        self._database = database
        self._hosts = known
        self.on_commit: Callable[[], None] = _nobody_waits

    def accept(self, received: ReceivedAlert) -> Accepted:
        """Commit an alert to its incident, or recognise one that was committed before."""
        try:
            accepted = self._accept(received)
        except IntegrityError:
            # The same webhook id arrived at the same moment and was committed first: now it is known.
            accepted = self._accept(received)
        if not accepted.known:
            self.on_commit()
        return accepted

    def _accept(self, received: ReceivedAlert) -> Accepted:
        with self._database.write() as connection:
            message = {"source": received.source, "webhook_id": received.webhook_id}
            replayed = connection.execute(_REPLAYED, message).scalar()
            if replayed is not None:
                return Accepted(incident_id=replayed, known=True, count=_alerts(connection, replayed))
            key = correlation_key(received.alert, self._hosts.inventory_within(connection))
            self._database.lock(connection, f"correlate:{key}")
            found, count = self._count_in(connection, key, received)
            line = message | {
                "incident_id": found,
                "fingerprint": received.alert.fingerprint,
                "received_at": received.received_at,
                "document": received.model_dump_json(),
            }
            connection.execute(insert(outbox), line)
        return Accepted(incident_id=found, known=False, count=count)

    def _count_in(self, connection: Connection, key: str, received: ReceivedAlert) -> tuple[str, int]:
        row = connection.execute(_OPEN, {"key": key}).first()
        if row is None:
            return open_incident(connection, key, received, alerts=1), 1
        grown = {"wanted": row.incident_id, "alerts": row.alerts + 1, "updated_at": received.received_at}
        connection.execute(_COUNT, grown)
        return row.incident_id, row.alerts + 1

    def pending(self, limit: int = 100) -> list[PendingBatch]:
        """What waits to be handed over: one batch per incident, in order of arrival, up to `limit`."""
        columns = (outbox.c.id, outbox.c.incident_id, outbox.c.received_at)
        waiting = select(*columns).where(outbox.c.dispatched_at.is_(None)).order_by(outbox.c.id).limit(SCAN_ROWS)
        with self._database.read() as connection:
            groups: dict[str, list[Row[*tuple[Any, ...]]]] = {}
            for row in connection.execute(waiting):
                if row.incident_id in groups or len(groups) < limit:
                    groups.setdefault(row.incident_id, []).append(row)
            if not groups:
                return []
            firsts = _first_lines(connection, [rows[0].id for rows in groups.values()])
        return [_batch(rows, firsts[rows[0].id]) for rows in groups.values()]

    def mark_dispatched(self, outbox_ids: Sequence[int]) -> None:
        """Note that the lines were handed over, and that their incidents run."""
        now = datetime.now(UTC)
        with self._database.write() as connection:
            for some in _slices(outbox_ids):
                connection.execute(update(outbox).where(outbox.c.id.in_(some)).values(dispatched_at=now))
                belonging = select(outbox.c.incident_id).where(outbox.c.id.in_(some))
                started = update(incidents).where(incidents.c.incident_id.in_(belonging), ~incidents.c.started)
                connection.execute(started.values(started=True))

    def recorrelate(self, outbox_ids: Sequence[int]) -> str:
        """Move waiting lines to the open incident of their key: their own was found to have ended.

        The incident that they waited for counts as closed from now on. All lines are of one incident;
        returns the one they belong to now.
        """
        with self._database.write() as connection:
            line = connection.execute(select(outbox).where(outbox.c.id == min(outbox_ids))).one()
            was = connection.execute(select(incidents).where(incidents.c.incident_id == line.incident_id)).one()
            self._database.lock(connection, f"correlate:{was.correlation_key}")
            ended = update(incidents).where(incidents.c.incident_id == was.incident_id)
            connection.execute(ended.values(status="closed", alerts=was.alerts - len(outbox_ids)))
            successor = connection.execute(_OPEN, {"key": was.correlation_key}).first()
            if successor is None:
                received = ReceivedAlert.model_validate_json(line.document)
                found = open_incident(connection, was.correlation_key, received, alerts=len(outbox_ids))
            else:
                found = successor.incident_id
                connection.execute(_COUNT, {"wanted": found, "alerts": successor.alerts + len(outbox_ids)})
            for some in _slices(outbox_ids):
                connection.execute(update(outbox).where(outbox.c.id.in_(some)).values(incident_id=found))
        return found


def _nobody_waits() -> None:
    """Where no dispatcher was told of: it finds the line when it looks."""


def _alerts(connection: Connection, wanted: str) -> int:
    return connection.execute(select(incidents.c.alerts).where(incidents.c.incident_id == wanted)).scalar() or 0


def _first_lines(connection: Connection, ids: list[int]) -> dict[int, Row[*tuple[Any, ...]]]:
    query = (
        select(outbox.c.id, outbox.c.document, incidents.c.correlation_key, incidents.c.started)
        .join(incidents, incidents.c.incident_id == outbox.c.incident_id)
        .where(outbox.c.id.in_(ids))
    )
    return {row.id: row for row in connection.execute(query)}


def _batch(rows: list[Row[*tuple[Any, ...]]], first: Row[*tuple[Any, ...]]) -> PendingBatch:
    return PendingBatch(
        incident_id=rows[0].incident_id,
        correlation_key=first.correlation_key,
        count=len(rows),
        first=ReceivedAlert.model_validate_json(first.document),
        last_received_at=max(row.received_at for row in rows),
        outbox_ids=tuple(row.id for row in rows),
        new=not first.started,
    )


def _slices(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + UPDATE_ROWS] for start in range(0, len(ids), UPDATE_ROWS)]
