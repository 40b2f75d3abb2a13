"""The ledger's first schema: incidents, outbox, audit chain, hosts, custody."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    _chains()
    _hosts()
    _incidents()
    _intake()


def _chains() -> None:
    op.create_table(
        "audit_events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("at", Time, nullable=False),
        sa.Column("kind", sa.String(length=300), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.String(length=256), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("ix_audit_events_incident", "audit_events", ["incident_id", "seq"], unique=False)
    op.create_table(
        "custody_events",
        sa.Column("case_id", sa.String(length=256), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.String(length=256), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "seq"),
        sa.UniqueConstraint("case_id", "event_id", name="uq_custody_case_event"),
    )
    op.create_table(
        "ledger_state",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "manifests",
        sa.Column("case_id", sa.String(length=256), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("evidence_id", sa.String(length=256), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "seq"),
        sa.UniqueConstraint("case_id", "evidence_id", name="uq_manifests_case_evidence"),
    )


def _hosts() -> None:
    op.create_table(
        "hosts",
        sa.Column("host_id", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("joined_at", Time, nullable=False),
        sa.Column("last_seen", Time, nullable=True),
        sa.PrimaryKeyConstraint("host_id"),
    )
    op.create_index("ix_hosts_name", "hosts", ["name"], unique=False)
    op.create_table(
        "join_tokens",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("expires_at", Time, nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("token_hash"),
    )


def _incidents() -> None:
    op.create_table(
        "incident_hosts",
        sa.Column("incident_id", sa.String(length=256), nullable=False),
        sa.Column("host", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "host"),
    )
    op.create_index("ix_incident_hosts_host", "incident_hosts", ["host"], unique=False)
    op.create_table(
        "incident_records",
        sa.Column("incident_id", sa.String(length=256), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "sequence"),
    )
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.String(length=256), nullable=False),
        sa.Column("correlation_key", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("alerts", sa.BigInteger(), nullable=False),
        sa.Column("started", sa.Boolean(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", Time, nullable=False),
        sa.Column("updated_at", Time, nullable=False),
        sa.Column("snapshot", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("incident_id"),
        sa.UniqueConstraint("correlation_key", "ordinal", name="uq_incidents_key_ordinal"),
    )
    op.create_index("ix_incidents_key_status", "incidents", ["correlation_key", "status"], unique=False)
    op.create_index("ix_incidents_opened", "incidents", ["opened_at", "incident_id"], unique=False)


def _intake() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=256), nullable=False),
        sa.Column("webhook_id", sa.String(length=256), nullable=False),
        sa.Column("incident_id", sa.String(length=256), nullable=False),
        sa.Column("fingerprint", sa.String(length=80), nullable=False),
        sa.Column("received_at", Time, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("dispatched_at", Time, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("source", "webhook_id", name="uq_outbox_source_webhook"),
    )
    op.create_index(
        "ix_outbox_pending",
        "outbox",
        ["id"],
        unique=False,
        sqlite_where=sa.text("dispatched_at is null"),
        postgresql_where=sa.text("dispatched_at is null"),
    )
    op.create_table(
        "refusals",
        sa.Column("source", sa.String(length=256), nullable=False),
        sa.Column("reason", sa.String(length=256), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("last_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("source", "reason"),
    )
