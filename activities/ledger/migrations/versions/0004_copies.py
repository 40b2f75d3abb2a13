"""How much of each case was copied to the vault: what tells a copy that lags behind from one that was cut short."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    copies = op.create_table(
        "evidence_copies",
        sa.Column("case_id", sa.String(length=256), nullable=False),
        sa.Column("manifests", sa.Integer(), nullable=False),
        sa.Column("custody", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("case_id"),
    )
    _mark(copies)


def _mark(copies: sa.Table) -> None:
    """Until now a verification asked for all of a case in the vault; it goes on asking for what there is now."""
    connection = op.get_bind()
    reached: dict[str, dict[str, int]] = {}
    for name, chain in (("manifests", "manifests"), ("custody", "custody_events")):
        kept = sa.table(chain, sa.column("case_id"), sa.column("seq"))
        query = sa.select(kept.c.case_id, sa.func.max(kept.c.seq)).group_by(kept.c.case_id)
        for case_id, length in connection.execute(query):
            reached.setdefault(case_id, {"manifests": 0, "custody": 0})[name] = length
    now = datetime.now(UTC)
    at = now.replace(tzinfo=None) if connection.dialect.name == "sqlite" else now
    if reached:
        connection.execute(sa.insert(copies), [{"case_id": case, "at": at, **ends} for case, ends in reached.items()])


def downgrade() -> None:
    op.drop_table("evidence_copies")
