"""Which targets were contained automatically, and when: what the limits of a site are counted by."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "containments",
        sa.Column("incident_id", sa.String(length=256), nullable=False),
        sa.Column("target_id", sa.String(length=256), nullable=False),
        sa.Column("group", sa.String(length=512), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "target_id"),
    )
    op.create_index("ix_containments_at", "containments", ["at"], unique=False)


def downgrade() -> None:
    op.drop_table("containments")
