"""The audit chain: who did what when, each line hashed together with the one before.

Owns appending and verifying. Nothing here updates or deletes. Changing, dropping, inserting or reordering a
line breaks the chain; cutting its end off contradicts the head that is kept beside it. Whoever rewrites the
whole database can rewrite the chain as well: note the head elsewhere to find that out.

    ledger.audit.append(kind="order-refused", actor="agent:web", body={"reason": "expired"})
    ledger.audit.verify()   # -> AuditVerdict(ok=True, events=412, ...)
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
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
        for seq, entry in enumerate(entries, start=seq + 1):  # noqa: B020  counts on from the head
            row = _row(seq, entry, head)
            connection.execute(insert(audit_events).values(row))
            head = str(row["hash"])
        write_state(connection, HEAD, f"{seq}:{head}")
        return head

    def verify(self) -> AuditVerdict:
        """Recompute the whole chain."""
        with self._database.read() as connection:
            events, head = 0, GENESIS
            for row in _rows(connection):
                failure = _failure(row, events + 1, head)
                if failure:
                    return AuditVerdict(ok=False, events=events, head=head, first_failure=failure)
                events, head = events + 1, row["hash"]
            kept = read_state(connection, HEAD) or f"0:{GENESIS}"
        if kept != f"{events}:{head}":
            failure = f"the chain ends at event {events}, the ledger had noted {kept.partition(':')[0]}"
            return AuditVerdict(ok=False, events=events, head=head, first_failure=failure)
        return AuditVerdict(ok=True, events=events, head=head)


def _head(connection: Connection) -> tuple[int, str]:
    # The noted head, not the last row: events that were cut off must not be continued as if they had never
    # been.
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
    at: datetime = row["at"]
    hashed = {key: row[key] for key in ("seq", "kind", "actor", "incident_id", "prev_hash")}
    document = hashed | {
        "at": at.astimezone(UTC).isoformat(timespec="microseconds"),
        "body": json.loads(row["body"]),
    }
    return hashlib.sha256(canonical(document)).hexdigest()


def _rows(connection: Connection) -> Iterator[RowMapping]:
    query = select(audit_events).order_by(audit_events.c.seq).execution_options(yield_per=500)
    yield from connection.execute(query).mappings()


def _failure(row: RowMapping, expected_seq: int, head: str) -> str:
    if row["seq"] != expected_seq:
        return f"event {expected_seq} is missing: the next one is {row['seq']}"
    if row["prev_hash"] != head:
        return f"event {row['seq']} ({row['kind']}) does not continue the event before it"
    if row["hash"] != _recomputed(dict(row)):
        return f"event {row['seq']} ({row['kind']}) is not what was hashed"
    return ""


def _recomputed(row: Mapping[str, Any]) -> str:
    try:
        return _hash(row)
    except ValueError:
        return ""  # a body that is no JSON any more has no hash
