"""The ledger's tables.

Owns their shape as code sees it; `migrations/` makes them. Documents are JSON text, so that what was hashed
is what is stored. Times are UTC.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)


class UtcTime(TypeDecorator[datetime]):
    """A moment; SQLite keeps no time zone, so UTC is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """UTC, without zone where the database has none."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Always aware."""
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


# Only an INTEGER key is SQLite's rowid.
Serial = BigInteger().with_variant(Integer(), "sqlite")
metadata = MetaData()

incidents = Table(
    "incidents",
    metadata,
    Column("incident_id", String(256), primary_key=True),
    Column("correlation_key", Text, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("severity", Integer, nullable=False),
    Column("search", Text, nullable=False),
    Column("alerts", BigInteger, nullable=False),
    Column("started", Boolean, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("opened_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("snapshot", Text, nullable=False),
    UniqueConstraint("correlation_key", "ordinal", name="uq_incidents_key_ordinal"),
    Index("ix_incidents_key_status", "correlation_key", "status"),
    Index("ix_incidents_opened", "opened_at", "incident_id"),
)

incident_hosts = Table(
    "incident_hosts",
    metadata,
    Column("incident_id", String(256), primary_key=True),
    Column("host", String(256), primary_key=True),
    Index("ix_incident_hosts_host", "host"),
)

incident_records = Table(
    "incident_records",
    metadata,
    Column("incident_id", String(256), primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("source", String(256), nullable=False),
    Column("webhook_id", String(256), nullable=False),
    Column("incident_id", String(256), nullable=False),
    Column("fingerprint", String(80), nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("document", Text, nullable=False),
    Column("dispatched_at", UtcTime, nullable=True),
    UniqueConstraint("source", "webhook_id", name="uq_outbox_source_webhook"),
    Index(
        "ix_outbox_pending",
        "id",
        sqlite_where=text("dispatched_at is null"),
        postgresql_where=text("dispatched_at is null"),
    ),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("kind", String(300), nullable=False),
    Column("actor", Text, nullable=False),
    Column("incident_id", String(256), nullable=True),
    Column("body", Text, nullable=False),
    Column("prev_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("ix_audit_events_incident", "incident_id", "seq"),
)

hosts = Table(
    "hosts",
    metadata,
    Column("host_id", String(256), primary_key=True),
    Column("name", String(256), nullable=False),
    Column("document", Text, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("joined_at", UtcTime, nullable=False),
    Column("last_seen", UtcTime, nullable=True),
    Index("ix_hosts_name", "name"),
)

join_tokens = Table(
    "join_tokens",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("uses_left", Integer, nullable=True),
)

containments = Table(
    "containments",
    metadata,
    Column("incident_id", String(256), primary_key=True),
    Column("target_id", String(256), primary_key=True),
    Column("group", String(512), nullable=False),
    Column("at", UtcTime, nullable=False),
    Index("ix_containments_at", "at"),
)

refusals = Table(
    "refusals",
    metadata,
    Column("source", String(256), primary_key=True),
    Column("reason", String(256), primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("last_at", UtcTime, nullable=False),
)

manifests = Table(
    "manifests",
    metadata,
    Column("case_id", String(256), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("evidence_id", String(256), nullable=False),
    Column("document", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("case_id", "evidence_id", name="uq_manifests_case_evidence"),
)

custody_events = Table(
    "custody_events",
    metadata,
    Column("case_id", String(256), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("event_id", String(256), nullable=False),
    Column("document", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("case_id", "event_id", name="uq_custody_case_event"),
)

# How much of both chains is in the vault.
evidence_copies = Table(
    "evidence_copies",
    metadata,
    Column("case_id", String(256), primary_key=True),
    Column("manifests", Integer, nullable=False),
    Column("custody", Integer, nullable=False),
    Column("at", UtcTime, nullable=False),
)

# What manifests are found by; made together with each.
evidence_index = Table(
    "evidence_index",
    metadata,
    Column("case_id", String(256), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(32), nullable=False),
    Column("state", String(32), nullable=False),
    Column("host", String(256), nullable=False),
    Column("resource_id", String(256), nullable=False),
    Column("name", String(512), nullable=False),
    Column("tlp", String(16), nullable=False),
    Column("collected_at", UtcTime, nullable=False),
    Index("ix_evidence_index_collected", "collected_at", "case_id", "seq"),
    Index("ix_evidence_index_host", "host", "collected_at"),
    Index("ix_evidence_index_resource", "resource_id", "collected_at"),
)

evidence_links = Table(
    "evidence_links",
    metadata,
    Column("link_id", String(64), primary_key=True),
    Column("case_id", String(256), nullable=False),
    Column("evidence_id", String(256), nullable=False),
    Column("document", Text, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("revoked_at", UtcTime, nullable=True),
    Index("ix_evidence_links_item", "case_id", "evidence_id"),
)

ledger_state = Table(
    "ledger_state",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
