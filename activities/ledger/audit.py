"""The audit chain: who did what when, each line hashed together with the one before.

Owns appending and verifying. Nothing here updates or deletes. Changing, dropping, inserting or reordering a
line breaks the chain; cutting its end off contradicts the head that is kept beside it. Whoever rewrites the
whole database can rewrite the chain as well: note the head elsewhere to find that out.

    ledger.audit.append(kind="order-refused", actor="agent:web", body={"reason": "expired"})
    ledger.audit.verify()   # -> AuditVerdict(ok=True, events=412, ...)
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import AwareDatetime
from sqlalchemy import Connection, RowMapping, insert, select

from activities.ledger.database import Database
from activities.ledger.state import read_state, write_state
from activities.ledger.tables import audit_events
from playbooks.canonical import canonical
from segmentation.workloads import Frozen

GENESIS = "0" * 64
HEAD = "audit_head"
Body = Mapping[str, Any]


class AuditEntry(Frozen):
    """What is to be appended; `body` is plain JSON."""

    kind: str
    actor: str
    body: dict[str, Any]
    incident_id: str | None = None
    at: AwareDatetime | None = None


class AuditEvent(Frozen):
    """One event of the chain as it is kept."""

    seq: int
    at: AwareDatetime
    kind: str
    actor: str
    incident_id: str | None
    body: Body
    prev_hash: str
    hash: str


class AuditVerdict(Frozen):
    """What verification found; `head` is the hash to note elsewhere."""

    ok: bool
    events: int
    head: str = GENESIS
    first_failure: str = ""


class AuditChain:
    """The audit's room of the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, *, kind: str, actor: str, body: Body, incident_id: str | None = None) -> str:
        """Append one event and return its hash."""
        entry = AuditEntry(kind=kind, actor=actor, body=dict(body), incident_id=incident_id)
        with self._database.write() as connection:
            return self.append_within(connection, [entry])

    def append_within(self, connection: Connection, entries: list[AuditEntry]) -> str:
        """`append` as part of a transaction; returns the head."""
        self._database.lock(connection, "audit")
        seq, head = _head(connection)
        for entry in entries:
            seq += 1
            row = _row(seq, entry, head)
            connection.execute(insert(audit_events).values(row))
            head = str(row["hash"])
        write_state(connection, HEAD, f"{seq}:{head}")
        return head

    def events(self, *, after: int | None = None, limit: int = 100, incident_id: str | None = None) -> list[AuditEvent]:
        """At most `limit` events in their order: those behind number `after`, or the newest."""
        query = select(audit_events).limit(limit)
        if after is None:
            query = query.order_by(audit_events.c.seq.desc())
        else:
            query = query.where(audit_events.c.seq > after).order_by(audit_events.c.seq)
        if incident_id is not None:
            query = query.where(audit_events.c.incident_id == incident_id)
        with self._database.read() as connection:
            rows = sorted(connection.execute(query).mappings(), key=lambda row: int(row["seq"]))
        return [AuditEvent(**{**row, "body": json.loads(row["body"])}) for row in rows]

    def verify(self) -> AuditVerdict:
        """Recompute the whole chain."""
        with self._database.read() as connection:
            verdict = _walk(connection)
            kept = read_state(connection, HEAD) or f"0:{GENESIS}"
        if verdict.ok and kept != f"{verdict.events}:{verdict.head}":
            failure = f"the chain ends at event {verdict.events}, the ledger had noted {kept.partition(':')[0]}"
            return verdict.model_copy(update={"ok": False, "first_failure": failure})
        return verdict


def _walk(connection: Connection) -> AuditVerdict:
    events, head = 0, GENESIS
    query = select(audit_events).order_by(audit_events.c.seq).execution_options(yield_per=500)
    with connection.execute(query) as result:
        for row in result.mappings():
            failure = _failure(row, events + 1, head)
            if failure:
                return AuditVerdict(ok=False, events=events, head=head, first_failure=failure)
            events, head = events + 1, row["hash"]
    return AuditVerdict(ok=True, events=events, head=head)


def _head(connection: Connection) -> tuple[int, str]:
    # The noted head, not the last row: a chain whose end was cut off must not go on as if nothing had been.
    seq, _, head = (read_state(connection, HEAD) or f"0:{GENESIS}").partition(":")
    return int(seq), head


def _row(seq: int, entry: AuditEntry, prev_hash: str) -> dict[str, Any]:
    row = {
        "seq": seq,
        "at": entry.at or datetime.now(UTC),
        "kind": entry.kind,
        "actor": entry.actor,
        "incident_id": entry.incident_id,
        "body": canonical(entry.body).decode(),
        "prev_hash": prev_hash,
    }
    return row | {"hash": _hash(row)}


def _hash(row: Mapping[str, Any]) -> str:
    # The body goes in as the text that it became: reading a number back may give another type.
    hashed = {key: row[key] for key in ("seq", "kind", "actor", "incident_id", "body", "prev_hash")}
    at: datetime = row["at"]
    return hashlib.sha256(canonical(hashed | {"at": at.astimezone(UTC).isoformat(timespec="microseconds")})).hexdigest()


def _failure(row: RowMapping, expected_seq: int, head: str) -> str:
    if row["seq"] != expected_seq:
        return f"event {expected_seq} is missing: the next one is {row['seq']}"
    if row["prev_hash"] != head:
        return f"event {row['seq']} ({row['kind']}) does not continue the event before it"
    if row["hash"] != _hash(dict(row)):
        return f"event {row['seq']} ({row['kind']}) is not what was hashed"
    return ""
