"""Incidents as people see them: the projection of each workflow, and its timeline.

Owns recording (snapshot and audit events in one transaction, each record once), listing and the timeline. The
workflow is the record; what stands here is made from it.
"""

import base64
import json
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, Field, TypeAdapter
from sqlalchemy import ColumnElement, Connection, Select, and_, insert, or_, select, update

from activities.contracts.incident import IncidentEvent, IncidentSnapshot, RecordIncident, Stage
from activities.ledger.audit import AuditChain, AuditEntry
from activities.ledger.database import Database
from activities.ledger.errors import CursorInvalid
from activities.ledger.projection import columns, next_ordinal, read, write_hosts
from activities.ledger.tables import audit_events, incident_hosts, incident_records, incidents
from segmentation.workloads import Frozen, Name

TIMELINE = "incident."
_PLACE: TypeAdapter[tuple[datetime, str]] = TypeAdapter(tuple[AwareDatetime, Name])


class IncidentFilter(Frozen):
    """What a list is narrowed to; every field left out narrows nothing."""

    status: Literal["open", "closed"] | None = None
    stage: Stage | None = None
    min_severity: int = Field(default=0, ge=0, le=100)
    host: str | None = Field(default=None, description="Name, id or address of a target, or what the alert named.")
    text: str | None = Field(default=None, description="Part of title, rule, message, key, playbook or id.")


class Page(Frozen):
    """Some incidents, newest first; `next_cursor` None is the end."""

    items: tuple[IncidentSnapshot, ...]
    next_cursor: str | None = None


class Incidents:
    """The incidents' room of the ledger."""

    def __init__(self, database: Database, audit: AuditChain) -> None:
        self._database = database
        self._audit = audit

    def record(self, record: RecordIncident) -> None:
        """Replace the projection and append the events; a record that was written before writes nothing.

        An older record that comes late still brings its events, and leaves the newer projection alone.
        """
        incident_id = record.snapshot.incident_id
        key = {"incident_id": incident_id, "sequence": record.sequence}
        with self._database.write() as connection:
            self._database.lock(connection, f"record:{incident_id}")
            if connection.execute(select(incident_records).filter_by(**key)).first() is not None:
                return
            connection.execute(insert(incident_records), key)
            self._project(connection, record)
            if record.events:
                self._audit.append_within(connection, [_entry(incident_id, e) for e in record.events])

    def _project(self, connection: Connection, record: RecordIncident) -> None:
        snapshot = record.snapshot
        mine = incidents.c.incident_id == snapshot.incident_id
        row = connection.execute(select(incidents.c.sequence, incidents.c.status).where(mine)).one_or_none()
        if row is None:
            self._database.lock(connection, f"correlate:{snapshot.correlation_key}")
            _insert(connection, record)
        elif row.sequence < record.sequence:
            # Closed stays closed: intake may have opened the next incident of the key already.
            status = "closed" if row.status == "closed" else snapshot.status
            known = {"status": status, "started": True, "sequence": record.sequence}
            connection.execute(update(incidents).where(mine).values(known | columns(snapshot)))
        else:
            return
        write_hosts(connection, snapshot)

    def incident(self, incident_id: str) -> IncidentSnapshot | None:
        """One incident, also one whose workflow has not recorded anything yet."""
        with self._database.read() as connection:
            row = connection.execute(_rows().where(incidents.c.incident_id == incident_id)).one_or_none()
        return read(row) if row is not None else None

    def incidents(self, wanted: IncidentFilter | None = None, *, limit: int = 50, cursor: str | None = None) -> Page:
        """A page of incidents, newest first.

        Raises:
            CursorInvalid: the cursor is not one of ours.
        """
        query = _rows().where(*_conditions(wanted or IncidentFilter()))
        if cursor is not None:
            query = query.where(_after(*_parse_cursor(cursor)))
        query = query.order_by(incidents.c.opened_at.desc(), incidents.c.incident_id.desc()).limit(limit + 1)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        more = rows[limit - 1] if len(rows) > limit else None
        next_cursor = _cursor(more.opened_at, more.incident_id) if more is not None else None
        return Page(items=tuple(read(row) for row in rows[:limit]), next_cursor=next_cursor)

    def timeline(self, incident_id: str) -> list[IncidentEvent]:
        """What happened, in the order it was recorded."""
        query = (
            select(audit_events.c.body)
            .where(audit_events.c.incident_id == incident_id, audit_events.c.kind.startswith(TIMELINE))
            .order_by(audit_events.c.seq)
        )
        with self._database.read() as connection:
            return [IncidentEvent.model_validate_json(body) for body in connection.execute(query).scalars()]


def _entry(incident_id: str, happened: IncidentEvent) -> AuditEntry:
    kind, body = TIMELINE + happened.kind, happened.model_dump(mode="json")
    at = happened.at if happened.at.tzinfo else happened.at.replace(tzinfo=UTC)
    return AuditEntry(kind=kind, actor=happened.actor, body=body, incident_id=incident_id, at=at)


def _insert(connection: Connection, record: RecordIncident) -> None:
    key = record.snapshot.correlation_key
    place = {
        "incident_id": record.snapshot.incident_id,
        "correlation_key": key,
        "status": record.snapshot.status,
    }
    counted = {
        "ordinal": next_ordinal(connection, key),
        "alerts": 0,
        "started": True,
        "sequence": record.sequence,
    }
    connection.execute(insert(incidents), place | counted | columns(record.snapshot))


def _rows() -> Select[Any]:
    columns_read = ("incident_id", "snapshot", "status", "alerts", "opened_at", "updated_at")
    return select(*(incidents.c[name] for name in columns_read))


def _conditions(wanted: IncidentFilter) -> list[ColumnElement[bool]]:
    conditions = [incidents.c.severity >= wanted.min_severity]
    if wanted.status:
        conditions.append(incidents.c.status == wanted.status)
    if wanted.stage:
        conditions.append(incidents.c.stage == wanted.stage)
    if wanted.host:
        named = select(incident_hosts.c.incident_id).where(incident_hosts.c.host == wanted.host.lower())
        conditions.append(incidents.c.incident_id.in_(named))
    if wanted.text:
        conditions.append(incidents.c.search.contains(wanted.text.lower(), autoescape=True))
    return conditions


def _after(opened_at: datetime, incident_id: str) -> ColumnElement[bool]:
    same = and_(incidents.c.opened_at == opened_at, incidents.c.incident_id < incident_id)
    return or_(incidents.c.opened_at < opened_at, same)


def _cursor(opened_at: datetime, incident_id: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([opened_at.isoformat(), incident_id]).encode()).decode().rstrip("=")


def _parse_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        return _PLACE.validate_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError as error:
        raise CursorInvalid(
            "The cursor is not one that a page gave out.",
            hint="Use next_cursor of the page before, as it is.",
        ) from error
