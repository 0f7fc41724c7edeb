"""Which worker settles which partition, so that an event that ends processes is found.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

from app.checkpoint.models import DIGEST, TABLE_OPTIONS, TABLE_PREFIX, Name, UTCDateTime, utcnow

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ITEMS = f"{TABLE_PREFIX}operation_items"
LANES = f"{TABLE_PREFIX}lanes"


def upgrade() -> None:
    """Add the table; workers of the release before this one go on without it."""
    op.add_column(ITEMS, sa.Column("starts", sa.Integer, server_default="0", nullable=False))
    op.create_table(
        LANES,
        sa.Column("lane", DIGEST, primary_key=True),
        sa.Column("agent", Name(255), nullable=False),
        sa.Column("topic", Name(249), nullable=False),
        sa.Column("group_id", Name(255), nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("owner", DIGEST, nullable=False),
        sa.Column("since", UTCDateTime, server_default=utcnow(), nullable=False),
        sa.Column("first_offset", sa.BigInteger),
        sa.Column("last_offset", sa.BigInteger),
        sa.Column("starts", sa.Integer, server_default="0", nullable=False),
        **{**TABLE_OPTIONS, "sqlite_autoincrement": False},
    )


def downgrade() -> None:
    """Take it back; a worker that dies then is forgotten."""
    op.drop_table(LANES)
    op.drop_column(ITEMS, "starts")
