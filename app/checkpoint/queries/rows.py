"""What is read of one event, failure or act, and what the records leave out."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Label, Table, and_, case, func, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from app.checkpoint.claims import LEASE_SECONDS
from app.checkpoint.models import EVENTS, FAILURES, JSONText, UTCDateTime
from app.checkpoint.records import EventRecord, FailureRecord

R = TypeVar("R", bound=EventRecord)

PAYLOAD_LIMIT = 16 * 1024
"""Bytes of a payload above which a list leaves it out."""

EVENT_FIELDS = (
    *("id", "agent", "topic", "group_id", "partition", "offset", "key", "entity_id"),
    *("event_time", "event_type", "event_version", "checksum", "created_at"),
)
FAILURE_FIELDS = (
    *EVENT_FIELDS,
    *("error_class", "error_message", "error_backtrace", "attempts", "occurrences"),
    *("first_failed_at", "last_failed_at", "fingerprint", "edited"),
)


class lease_start(FunctionElement[Any]):  # noqa: N801 - stands in SQL like a function
    """The time of the database's clock before which a claim has ended."""

    type = UTCDateTime()
    inherit_cache = True


@compiles(lease_start, "postgresql")
def _lease_start_postgresql(*_: Any, **__: Any) -> str:
    return f"(CURRENT_TIMESTAMP - INTERVAL '{LEASE_SECONDS} seconds')"


@compiles(lease_start, "mysql")
def _lease_start_mysql(*_: Any, **__: Any) -> str:
    return f"(utc_timestamp(6) - INTERVAL {LEASE_SECONDS} SECOND)"


@compiles(lease_start, "sqlite")
def _lease_start_sqlite(*_: Any, **__: Any) -> str:
    return f"(strftime('%Y-%m-%d %H:%M:%f000', 'now', '-{LEASE_SECONDS} seconds'))"


class size(FunctionElement[int]):  # noqa: N801 - stands in SQL like a function
    """Bytes of a stored value; a large one is not read for it."""

    inherit_cache = True


@compiles(size, "postgresql")
def _size_postgresql(element: size, compiler: SQLCompiler, **options: Any) -> str:
    [column] = element.clauses
    value = compiler.process(column, **options)
    if not isinstance(column.type, JSONText):
        return f"octet_length({value})"
    # As text it would have to be decompressed: that is left to values that are small as they lie.
    stored = f"pg_column_size({value})"
    exact = f"octet_length({value}::text)"
    return f"CASE WHEN {stored} > {PAYLOAD_LIMIT} THEN {stored} ELSE {exact} END"


@compiles(size, "mysql")
def _size_mysql(element: size, compiler: SQLCompiler, **options: Any) -> str:
    return f"octet_length({compiler.process(element.clauses, **options)})"


@compiles(size, "sqlite")
def _size_sqlite(element: size, compiler: SQLCompiler, **options: Any) -> str:
    # Of text, length() counts characters.
    return f"length(CAST({compiler.process(element.clauses, **options)} AS BLOB))"


FAILURE_STATUS: ColumnElement[str] = case(
    (
        and_(FAILURES.c.status == "open", FAILURES.c.claimed_at > lease_start()),
        literal("retrying"),
    ),
    else_=FAILURES.c.status,
)
"""The status as it is told: an open failure whose claim is fresh is being retried."""


@cache
def event_columns(*, whole: bool) -> Sequence[ColumnElement[Any]]:
    """Return the fields of an EventRecord; unless `whole`, without a large payload."""
    return [EVENTS.c[name] for name in EVENT_FIELDS] + _payload(EVENTS, whole=whole)


@cache
def failure_columns(*, whole: bool) -> Sequence[ColumnElement[Any]]:
    """Return the fields of a FailureRecord; unless `whole`, without a large payload."""
    columns: list[ColumnElement[Any]] = [FAILURES.c[name] for name in FAILURE_FIELDS]
    columns += [FAILURES.c.metadata.label("origin"), FAILURE_STATUS.label("status")]
    return columns + _payload(FAILURES, whole=whole)


def _payload(table: Table, *, whole: bool) -> list[ColumnElement[Any]]:
    payload, raw = table.c.payload, table.c.payload_raw
    bytes_stored = func.coalesce(size(payload), size(raw), 0)
    told: list[Label[Any]] = [bytes_stored.label("payload_size")]
    if whole:
        return [*told, payload, raw, literal(value=False).label("payload_cut")]
    small = bytes_stored <= PAYLOAD_LIMIT
    return [
        *told,
        case((small, payload)).label("payload"),
        case((small, raw)).label("payload_raw"),
        (bytes_stored > PAYLOAD_LIMIT).label("payload_cut"),
    ]


LISTED = {EVENTS: event_columns(whole=False), FAILURES: failure_columns(whole=False)}
"""The columns of lists."""
NAMES: dict[type[EventRecord], list[str]] = {
    EventRecord: [column.name for column in LISTED[EVENTS]],
    FailureRecord: [column.name for column in LISTED[FAILURES]],
}


def read(record: type[R], row: Iterable[Any]) -> R:
    """Return a record of a row that begins with the columns of a list."""
    # By mappings() it would take twice as long.
    return record(**dict(zip(NAMES[record], row, strict=False)))
