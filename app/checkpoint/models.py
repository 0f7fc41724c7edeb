"""The checkpoint's tables, the same on SQLite, PostgreSQL and MariaDB."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    cast,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

TABLE_PREFIX = "checkpoint_"
"""The one place for the tables' names; a change wants a migration that renames."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NO_TIME = -(2**63)


def sort_key(event_time: datetime | None) -> int:
    """Return microseconds since the epoch; events without a time sort before all others."""
    return NO_TIME if event_time is None else (event_time - EPOCH) // MICROSECOND


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime with microseconds, kept and returned in UTC; a naive one is refused."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Keep microseconds on MariaDB, and a point in time on PostgreSQL."""
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time in UTC, without saying so to a database that knows no time zones."""
        if value is None:
            return None
        if value.utcoffset() is None:
            msg = f"{value!r} has no time zone"
            raise ValueError(msg)
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> datetime | None:
        """Return the time in UTC, and aware of it."""
        if value is None or value.tzinfo is UTC:
            return value
        # Also from PostgreSQL, whose driver turns the first and the last datetime into infinities.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Name(TypeDecorator[str]):
    """Text that is compared character by character on every database.

    MariaDB's default collation takes `Orders` for `orders` and `café` for `cafe`; its other binary
    one also takes `a ` for `a`. Each of the two servers has its own name for one that does not.
    """

    impl = String
    impl_instance: String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Name the collation on MariaDB and MySQL."""
        if not isinstance(dialect, mysql.dialect):
            return dialect.type_descriptor(self.impl_instance)
        collation = "utf8mb4_nopad_bin" if dialect.is_mariadb else "utf8mb4_0900_bin"
        return mysql.VARCHAR(self.impl_instance.length, charset="utf8mb4", collation=collation)


class _PostgreSQLJSON(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSON"

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        # The driver would parse a `json` value before anybody could ask for its text.
        return cast(column, Text)


class JSONText(TypeDecorator[str]):
    """JSON as its exact text: key order, white space and `1.0` stay as they came."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use `json` on PostgreSQL: it keeps the text, and SQL can look into it."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(_PostgreSQLJSON())
        return dialect.type_descriptor(LONG_TEXT)


class utcnow(FunctionElement[datetime]):  # noqa: N801 - stands in SQL like a function
    """The database's time in UTC, with at least milliseconds."""

    type = UTCDateTime()
    inherit_cache = True


@compiles(utcnow, "postgresql")
def _utcnow_postgresql(*_: Any, **__: Any) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(utcnow, "mysql")
def _utcnow_mysql(*_: Any, **__: Any) -> str:
    return "(utc_timestamp(6))"


@compiles(utcnow, "sqlite")
def _utcnow_sqlite(*_: Any, **__: Any) -> str:
    # Six digits, as the driver writes them: text is compared as text.
    return "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"


LONG_TEXT = Text().with_variant(mysql.LONGTEXT(), "mysql")
DIGEST = LargeBinary(16).with_variant(mysql.BINARY(16), "mysql")
BLOB = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql")
ID = BigInteger().with_variant(Integer(), "sqlite")

TABLE_OPTIONS: dict[str, Any] = {
    # Otherwise SQLite gives the id of a deleted newest row to another one.
    "sqlite_autoincrement": True,
    "mysql_engine": "InnoDB",
    "mysql_row_format": "DYNAMIC",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}


class Model(DeclarativeBase):
    """Where the service's own tables may stand beside the checkpoint's."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        }
    )


class _EventColumns:
    """What events and failures have in common."""

    id: Mapped[int] = mapped_column(ID, primary_key=True)
    identity: Mapped[bytes] = mapped_column(DIGEST)
    """128-bit digest of group, topic, agent and what makes the event itself."""
    agent: Mapped[str] = mapped_column(Name(255))
    topic: Mapped[str] = mapped_column(Name(249))
    group_id: Mapped[str] = mapped_column(Name(255))
    partition: Mapped[int] = mapped_column(Integer)
    offset: Mapped[int] = mapped_column(BigInteger)
    key: Mapped[bytes | None] = mapped_column(BLOB)
    entity_id: Mapped[str | None] = mapped_column(Name(255))
    event_time: Mapped[datetime | None] = mapped_column(UTCDateTime)
    event_type: Mapped[str | None] = mapped_column(Name(255))
    event_version: Mapped[str | None] = mapped_column(Name(255))
    checksum: Mapped[bytes | None] = mapped_column(DIGEST)
    """128-bit BLAKE2b of the raw value."""
    payload: Mapped[str | None] = mapped_column(JSONText)
    payload_raw: Mapped[bytes | None] = mapped_column(BLOB)
    """The value, when it is not JSON that every database takes."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, server_default=utcnow())
    sort_key: Mapped[int] = mapped_column(BigInteger)
    """`sort_key(event_time)`: newest first, those without a time last, by one plain index."""


class EventRow(_EventColumns, Model):
    """An event that was handled and acknowledged."""

    __tablename__ = f"{TABLE_PREFIX}events"
    __table_args__ = (
        Index(None, "identity", unique=True),
        Index(None, "sort_key", "id"),
        Index(None, "entity_id"),
        TABLE_OPTIONS,
    )


class FailureRow(_EventColumns, Model):
    """An event whose attempts are used up."""

    __tablename__ = f"{TABLE_PREFIX}failures"
    __table_args__ = (
        Index(None, "open_key", unique=True),
        Index(None, "identity"),
        Index(None, "checksum"),
        Index(None, "sort_key", "id"),
        Index(None, "entity_id", "sort_key", "id"),
        Index(None, "status", "sort_key", "id"),
        # Failures are rare: what finds and counts them at once may cost a little when one is saved.
        Index(None, "status", "fingerprint", "sort_key", "id"),
        Index(None, "status", "fingerprint", "first_failed_at"),
        Index(None, "status", "fingerprint", "last_failed_at"),
        TABLE_OPTIONS,
    )

    origin: Mapped[str] = mapped_column("metadata", JSONText)
    """Headers and timestamp of the message."""
    error_class: Mapped[str] = mapped_column(Name(255))
    error_message: Mapped[str] = mapped_column(LONG_TEXT)
    error_backtrace: Mapped[str] = mapped_column(JSONText)
    attempts: Mapped[int] = mapped_column(Integer)
    occurrences: Mapped[int] = mapped_column(Integer, server_default="1")
    """How many deliveries of the event used up their attempts."""
    first_failed_at: Mapped[datetime] = mapped_column(UTCDateTime)
    last_failed_at: Mapped[datetime] = mapped_column(UTCDateTime)
    edited: Mapped[bytes | None] = mapped_column(BLOB)
    """The value that an operator had the last retry run with instead."""
    fingerprint: Mapped[bytes | None] = mapped_column(DIGEST)
    """`failures.fingerprint`: equal for failures that one fix mends; null before revision 0002."""
    status: Mapped[str] = mapped_column(Name(16))
    """open, resolved or discarded; an open one whose claim is fresh is being retried."""
    claimed_by: Mapped[str | None] = mapped_column(Name(255))
    """One name for each retry; null when none runs."""
    claimed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the retry last said that it is alive, by the database's clock."""
    open_key: Mapped[bytes | None] = mapped_column(DIGEST)
    """The identity while open, else null: one open failure each, on every database."""


class AuditRow(Model):
    """What somebody did to an event, a failure or an operation; committed together with it."""

    __tablename__ = f"{TABLE_PREFIX}audit"
    __table_args__ = (Index(None, "subject", "subject_id", "id"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(ID, primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, server_default=utcnow())
    actor: Mapped[str] = mapped_column(Name(255))
    request_id: Mapped[str] = mapped_column(Name(64))
    action: Mapped[str] = mapped_column(Name(32))
    subject: Mapped[str] = mapped_column(Name(16))
    """event, failure or operation."""
    subject_id: Mapped[int] = mapped_column(BigInteger)
    operation_id: Mapped[int | None] = mapped_column(BigInteger)
    """The bulk operation that it was a part of."""
    topic: Mapped[str | None] = mapped_column(Name(249))
    before: Mapped[str | None] = mapped_column(JSONText)
    after: Mapped[str | None] = mapped_column(JSONText)


class OperationRow(Model):
    """A retry or discard of many failures; any worker goes on with it where another one ended."""

    __tablename__ = f"{TABLE_PREFIX}operations"
    __table_args__ = (Index(None, "status", "id"), TABLE_OPTIONS)

    id: Mapped[int] = mapped_column(ID, primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, server_default=utcnow())
    actor: Mapped[str] = mapped_column(Name(255))
    request_id: Mapped[str] = mapped_column(Name(64))
    action: Mapped[str] = mapped_column(Name(16))
    """retry or discard."""
    topics: Mapped[str | None] = mapped_column(JSONText)
    """The only topics that whoever started it may see, as a JSON array; null: all."""
    plan: Mapped[str] = mapped_column(JSONText)
    """What was asked for: selection, rate, canary steps and failure ratio."""
    status: Mapped[str] = mapped_column(Name(16))
    """running, finished, stopped (by the failure ratio) or cancelled."""
    reason: Mapped[str | None] = mapped_column(Text)
    """Why it was stopped."""
    total: Mapped[int] = mapped_column(Integer)
    """How many failures were selected; the selection does not change."""
    outcomes: Mapped[str | None] = mapped_column(JSONText)
    """How many had which outcome, as a JSON object; null until the operation has ended."""
    finished_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    claimed_by: Mapped[str | None] = mapped_column(Name(255))
    claimed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class OperationItemRow(Model):
    """One failure of an operation's selection."""

    __tablename__ = f"{TABLE_PREFIX}operation_items"
    __table_args__ = (
        Index(None, "operation_id", "outcome", "position"),
        {**TABLE_OPTIONS, "sqlite_autoincrement": False},
    )

    operation_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """0, 1, 2, … in the order in which they are taken up."""
    failure_id: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[str | None] = mapped_column(Name(16))
    """Null until taken up; acknowledged, skipped, duplicate, discarded, failed or passed over."""
    starts: Mapped[int] = mapped_column(Integer, server_default="0")
    """How often its retry was begun: more than once where a process ended in it."""


class LaneRow(Model):
    """A partition that a worker settles for an agent, until it gives it up.

    Whoever finds another owner's row knows that the other died, and what it had in its hands.
    """

    __tablename__ = f"{TABLE_PREFIX}lanes"
    __table_args__ = ({**TABLE_OPTIONS, "sqlite_autoincrement": False},)

    lane: Mapped[bytes] = mapped_column(DIGEST, primary_key=True)
    """128-bit digest of group, topic, partition and agent."""
    agent: Mapped[str] = mapped_column(Name(255))
    topic: Mapped[str] = mapped_column(Name(249))
    group_id: Mapped[str] = mapped_column(Name(255))
    partition: Mapped[int] = mapped_column(Integer)
    owner: Mapped[bytes] = mapped_column(DIGEST)
    """One for each start of a worker."""
    since: Mapped[datetime] = mapped_column(UTCDateTime, server_default=utcnow())
    """When the owner took it over."""
    first_offset: Mapped[int | None] = mapped_column(BigInteger)
    last_offset: Mapped[int | None] = mapped_column(BigInteger)
    """Of what is in hand, or was when an owner died; written only after one has died."""
    starts: Mapped[int] = mapped_column(Integer, server_default="0")
    """How often just these events were begun and the owner died."""


EVENTS: Table = EventRow.__table__  # type: ignore[assignment]
FAILURES: Table = FailureRow.__table__  # type: ignore[assignment]
AUDIT: Table = AuditRow.__table__  # type: ignore[assignment]
OPERATIONS: Table = OperationRow.__table__  # type: ignore[assignment]
ITEMS: Table = OperationItemRow.__table__  # type: ignore[assignment]
LANES: Table = LaneRow.__table__  # type: ignore[assignment]
TABLES = (EVENTS, FAILURES, AUDIT, OPERATIONS, ITEMS, LANES)
"""All of the checkpoint's tables."""
