"""What operators do: groups of failures, audit and bulk operations.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

from app.checkpoint.failures import fingerprint_of
from app.checkpoint.models import (
    BLOB,
    DIGEST,
    ID,
    TABLE_OPTIONS,
    TABLE_PREFIX,
    JSONText,
    Name,
    UTCDateTime,
    utcnow,
)

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FAILURES = f"{TABLE_PREFIX}failures"
AUDIT = f"{TABLE_PREFIX}audit"
OPERATIONS = f"{TABLE_PREFIX}operations"
ITEMS = f"{TABLE_PREFIX}operation_items"

FAILURE_INDEXES = (
    ("checksum",),
    ("sort_key", "id"),
    ("entity_id", "sort_key", "id"),
    ("status", "fingerprint", "sort_key", "id"),
    ("status", "fingerprint", "first_failed_at"),
    ("status", "fingerprint", "last_failed_at"),
)


def upgrade() -> None:
    """Add a fingerprint to each failure, and the tables of audit and operations."""
    # Nullable: workers of the release before this one go on saving failures without it.
    op.add_column(FAILURES, sa.Column("fingerprint", DIGEST))
    op.add_column(FAILURES, sa.Column("edited", BLOB))
    _fill_fingerprints()
    for columns in FAILURE_INDEXES:
        op.create_index(None, FAILURES, columns)
    op.create_table(
        AUDIT,
        sa.Column("id", ID, primary_key=True),
        sa.Column("created_at", UTCDateTime, server_default=utcnow(), nullable=False),
        sa.Column("actor", Name(255), nullable=False),
        sa.Column("request_id", Name(64), nullable=False),
        sa.Column("action", Name(32), nullable=False),
        sa.Column("subject", Name(16), nullable=False),
        sa.Column("subject_id", sa.BigInteger, nullable=False),
        sa.Column("operation_id", sa.BigInteger),
        sa.Column("topic", Name(249)),
        sa.Column("before", JSONText),
        sa.Column("after", JSONText),
        sa.Index(None, "subject", "subject_id", "id"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        OPERATIONS,
        sa.Column("id", ID, primary_key=True),
        sa.Column("created_at", UTCDateTime, server_default=utcnow(), nullable=False),
        sa.Column("actor", Name(255), nullable=False),
        sa.Column("request_id", Name(64), nullable=False),
        sa.Column("action", Name(16), nullable=False),
        sa.Column("topics", JSONText),
        sa.Column("plan", JSONText, nullable=False),
        sa.Column("status", Name(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("outcomes", JSONText),
        sa.Column("finished_at", UTCDateTime),
        sa.Column("claimed_by", Name(255)),
        sa.Column("claimed_at", UTCDateTime),
        sa.Index(None, "status", "id"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        ITEMS,
        sa.Column("operation_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("failure_id", sa.BigInteger, nullable=False),
        sa.Column("outcome", Name(16)),
        sa.Index(None, "operation_id", "outcome", "position"),
        **{**TABLE_OPTIONS, "sqlite_autoincrement": False},
    )


def downgrade() -> None:
    """Take it back; what operators did is forgotten."""
    for table in (ITEMS, OPERATIONS, AUDIT):
        op.drop_table(table)
    for columns in reversed(FAILURE_INDEXES):
        op.drop_index(op.f(f"ix_{FAILURES}_{'_'.join(columns)}"), FAILURES)
    op.drop_column(FAILURES, "edited")
    op.drop_column(FAILURES, "fingerprint")


def _fill_fingerprints() -> None:
    # Where in the code an older one was raised is not known: its class makes the group.
    names = ("agent", "topic", "error_class")
    failures = sa.table(
        FAILURES, sa.column("fingerprint", DIGEST), *[sa.column(name, sa.String) for name in names]
    )
    columns = [failures.c[name] for name in names]
    connection = op.get_bind()
    for values in connection.execute(sa.select(*columns).distinct()).all():
        same = [column == value for column, value in zip(columns, values, strict=True)]
        digest = fingerprint_of(*values, place="")
        connection.execute(failures.update().where(*same).values(fingerprint=digest))
