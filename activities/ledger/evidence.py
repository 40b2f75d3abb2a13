"""Evidence across incidents: every item that was ever registered, found by what people remember of it.

Owns the index beside the manifests and the list. What a manifest says stays in its chain; nothing here updates it.

    ledger.evidence.find(EvidenceFilter(host="web", kind="packets"), limit=50)
"""

import base64
import json
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, Field, TypeAdapter
from sqlalchemy import ColumnElement, and_, or_, select

from activities.contracts.custody import Manifest
from activities.contracts.evidence import EvidenceKind, OutcomeState
from activities.ledger.correlation import without_nul
from activities.ledger.database import Database
from activities.ledger.errors import CursorInvalid
from activities.ledger.tables import evidence_index, manifests
from activities.report.words import utc
from playbooks.forensics import Tlp
from segmentation.workloads import Frozen, Name

_PLACE: TypeAdapter[tuple[datetime, str, int]] = TypeAdapter(tuple[AwareDatetime, Name, int])
_INTEGER = 1 << 31


class EvidenceFilter(Frozen):
    """What the list is narrowed to; every field left out narrows nothing."""

    incident_id: str | None = None
    host: str | None = Field(default=None, description="Name or id of the host, or id of a platform's target.")
    kind: EvidenceKind | None = None
    outcome: OutcomeState | None = None
    since: datetime | None = Field(default=None, description="Collected then or later.")
    until: datetime | None = Field(default=None, description="Collected before.")
    text: str | None = Field(default=None, description="Part of the item's id or file name.")
    tlp: Tlp | None = None


class EvidencePage(Frozen):
    """Some items, the newest first; `next_cursor` None is the end."""

    items: tuple[Manifest, ...]
    next_cursor: str | None = None


class EvidenceIndex:
    """The evidence list's room of the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, wanted: EvidenceFilter | None = None, *, limit: int = 50, cursor: str | None = None) -> EvidencePage:
        """A page of items, the newest first; items that could not be collected are items too.

        Raises:
            CursorInvalid: the cursor is not one of ours.
        """
        found = evidence_index.c
        same = and_(manifests.c.case_id == found.case_id, manifests.c.seq == found.seq)
        query = select(manifests.c.document, found.collected_at, found.case_id, found.seq).join_from(
            evidence_index, manifests, same
        )
        query = query.where(*_conditions(wanted or EvidenceFilter()))
        if cursor is not None:
            query = query.where(_after(*_parse_cursor(cursor)))
        query = query.order_by(found.collected_at.desc(), found.case_id.desc(), found.seq.desc()).limit(limit + 1)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        more = rows[limit - 1] if len(rows) > limit else None
        return EvidencePage(
            items=tuple(Manifest.model_validate_json(row.document) for row in rows[:limit]),
            next_cursor=_cursor(more.collected_at, more.case_id, more.seq) if more is not None else None,
        )


def found_by(manifest: Manifest) -> dict[str, Any]:
    """The row of a manifest."""
    item = manifest.item
    return {
        "case_id": manifest.case_id,
        "seq": manifest.seq,
        "kind": item.kind,
        "state": item.outcome.state,
        "host": item.source.host.lower(),
        "resource_id": item.source.resource_id.lower(),
        "name": f"{item.evidence_id} {item.name}".lower(),
        "tlp": manifest.tlp,
        "collected_at": utc(item.acquisition.ended),
    }


def _conditions(wanted: EvidenceFilter) -> list[ColumnElement[bool]]:
    found = evidence_index.c
    equal = {
        found.case_id: wanted.incident_id,
        found.kind: wanted.kind,
        found.state: wanted.outcome,
        found.tlp: wanted.tlp,
    }
    conditions: list[ColumnElement[bool]] = [column == value for column, value in equal.items() if value is not None]
    if wanted.host:
        host = without_nul(wanted.host.lower())
        conditions.append(or_(found.host == host, found.resource_id == host))
    if wanted.since:
        conditions.append(found.collected_at >= utc(wanted.since))
    if wanted.until:
        conditions.append(found.collected_at < utc(wanted.until))
    if wanted.text:
        conditions.append(found.name.contains(without_nul(wanted.text.lower()), autoescape=True))
    return conditions


def _after(collected_at: datetime, case_id: str, seq: int) -> ColumnElement[bool]:
    found = evidence_index.c
    same_time = found.collected_at == collected_at
    return or_(
        found.collected_at < collected_at,
        and_(same_time, found.case_id < case_id),
        and_(same_time, found.case_id == case_id, found.seq < seq),
    )


def _cursor(collected_at: datetime, case_id: str, seq: int) -> str:
    place = json.dumps([collected_at.isoformat(), case_id, seq]).encode()
    return base64.urlsafe_b64encode(place).decode().rstrip("=")


def _parse_cursor(cursor: str) -> tuple[datetime, str, int]:
    try:
        place = _PLACE.validate_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if 0 < place[2] < _INTEGER:
            return place
    except ValueError:
        pass
    raise CursorInvalid(
        "The cursor is not one that a page gave out.", hint="Use next_cursor of the page before, as it is."
    )
