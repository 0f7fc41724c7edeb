"""The checkpoint's tables: events and failures.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

from app.checkpoint.models import (
    BLOB,
    DIGEST,
    ID,
    LONG_TEXT,
    TABLE_OPTIONS,
    TABLE_PREFIX,
    JSONText,
    Name,
    UTCDateTime,
    utcnow,
)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

EVENTS = f"{TABLE_PREFIX}events"
FAILURES = f"{TABLE_PREFIX}failures"


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        EVENTS,
        *_event_columns(),
        sa.Index(None, "identity", unique=True),
        sa.Index(None, "sort_key", "id"),
        sa.Index(None, "entity_id"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        FAILURES,
        *_event_columns(),
        sa.Column("metadata", JSONText, nullable=False),
        sa.Column("error_class", Name(255), nullable=False),
        sa.Column("error_message", LONG_TEXT, nullable=False),
        sa.Column("error_backtrace", JSONText, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("occurrences", sa.Integer, server_default="1", nullable=False),
        sa.Column("first_failed_at", UTCDateTime, nullable=False),
        sa.Column("last_failed_at", UTCDateTime, nullable=False),
        sa.Column("status", Name(16), nullable=False),
        sa.Column("claimed_by", Name(255)),
        sa.Column("claimed_at", UTCDateTime),
        sa.Column("open_key", DIGEST),
        sa.Index(None, "open_key", unique=True),
        sa.Index(None, "identity"),
        sa.Index(None, "status", "sort_key", "id"),
        **TABLE_OPTIONS,
    )
    if op.get_context().dialect.name == "postgresql":
        for table in (EVENTS, FAILURES):
            _compress_with_lz4(table)


def downgrade() -> None:
    """Drop both tables."""
    op.drop_table(FAILURES)
    op.drop_table(EVENTS)


def _event_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("id", ID, primary_key=True),
        sa.Column("identity", DIGEST, nullable=False),
        sa.Column("agent", Name(255), nullable=False),
        sa.Column("topic", Name(249), nullable=False),
        sa.Column("group_id", Name(255), nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("key", BLOB),
        sa.Column("entity_id", Name(255)),
        sa.Column("event_time", UTCDateTime),
        sa.Column("event_type", Name(255)),
        sa.Column("event_version", Name(255)),
        sa.Column("checksum", DIGEST),
        sa.Column("payload", JSONText),
        sa.Column("payload_raw", BLOB),
        sa.Column("created_at", UTCDateTime, server_default=utcnow(), nullable=False),
        sa.Column("sort_key", sa.BigInteger, nullable=False),
    ]


def _compress_with_lz4(table: str) -> None:
    # Several times faster than the default. EXECUTE: before version 14 this is a syntax error.
    op.execute(f"""
        DO $$ BEGIN
            IF EXISTS (
                SELECT FROM pg_settings
                WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)
            ) THEN
                EXECUTE 'ALTER TABLE {table} ALTER payload SET COMPRESSION lz4,'
                    ' ALTER payload_raw SET COMPRESSION lz4';
            END IF;
        END $$
    """)
