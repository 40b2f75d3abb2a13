"""Evidence across incidents: what its list is filtered by, and links to single items."""

import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

Time = sa.DateTime(timezone=True)
ROWS = 500
FOUND = (
    sa.Column("case_id", sa.String(length=256), nullable=False),
    sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
    sa.Column("kind", sa.String(length=32), nullable=False),
    sa.Column("state", sa.String(length=32), nullable=False),
    sa.Column("host", sa.String(length=256), nullable=False),
    sa.Column("resource_id", sa.String(length=256), nullable=False),
    sa.Column("name", sa.String(length=512), nullable=False),
    sa.Column("tlp", sa.String(length=16), nullable=False),
    sa.Column("collected_at", Time, nullable=False),
)


def upgrade() -> None:
    found = op.create_table("evidence_index", *FOUND, sa.PrimaryKeyConstraint("case_id", "seq"))
    op.create_index("ix_evidence_index_collected", "evidence_index", ["collected_at", "case_id", "seq"], unique=False)
    op.create_index("ix_evidence_index_host", "evidence_index", ["host", "collected_at"], unique=False)
    op.create_index("ix_evidence_index_resource", "evidence_index", ["resource_id", "collected_at"], unique=False)
    op.create_table(
        "evidence_links",
        sa.Column("link_id", sa.String(length=64), nullable=False),
        sa.Column("case_id", sa.String(length=256), nullable=False),
        sa.Column("evidence_id", sa.String(length=256), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("expires_at", Time, nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("revoked_at", Time, nullable=True),
        sa.PrimaryKeyConstraint("link_id"),
    )
    op.create_index("ix_evidence_links_item", "evidence_links", ["case_id", "evidence_id"], unique=False)
    _index(found)


def _index(found: sa.Table) -> None:
    """Take in what was registered before there was an index."""
    connection = op.get_bind()
    kept = sa.table("manifests", sa.column("case_id"), sa.column("seq"), sa.column("document"))
    place = ("", 0)
    while True:
        later = sa.or_(kept.c.case_id > place[0], sa.and_(kept.c.case_id == place[0], kept.c.seq > place[1]))
        query = sa.select(kept).where(later).order_by(kept.c.case_id, kept.c.seq).limit(ROWS)
        rows = connection.execute(query).all()
        if not rows:
            return
        connection.execute(sa.insert(found), [_row(row.case_id, row.seq, json.loads(row.document)) for row in rows])
        place = (rows[-1].case_id, rows[-1].seq)


def _row(case_id: str, seq: int, manifest: dict[str, Any]) -> dict[str, Any]:
    item = manifest["item"]
    moment = datetime.fromisoformat(item["acquisition"]["ended"])
    at = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    sqlite = op.get_bind().dialect.name == "sqlite"
    return {
        "case_id": case_id,
        "seq": seq,
        "kind": item["kind"],
        "state": item["outcome"]["state"],
        "host": item["source"]["host"].lower(),
        "resource_id": item["source"]["resource_id"].lower(),
        "name": f"{item['evidence_id']} {item['name']}".lower(),
        "tlp": manifest.get("tlp", "AMBER"),
        "collected_at": at.replace(tzinfo=None) if sqlite else at,
    }


def downgrade() -> None:
    op.drop_table("evidence_links")
    op.drop_table("evidence_index")
