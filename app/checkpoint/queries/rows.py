"""What is read of one event, failure or act, and what the records leave out."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Table, and_, case, func, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from app.checkpoint.claims import LEASE_SECONDS
from app.checkpoint.models import EVENTS, FAILURES, JSONText, UTCDateTime
from app.checkpoint.records import EventRecord, FailureRecord

R = TypeVar("R", bound=EventRecord)

PAYLOAD_LIMIT = 16 * 1024
"""Bytes of a payload above which a list leaves it out."""


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


def columns(record: type[EventRecord], *, whole: bool) -> list[ColumnElement[Any]]:
    """Return the fields of a record, in their order; unless `whole`, without a large payload."""
    table, told = TABLES[record], _payload(TABLES[record], whole=whole)
    if table is FAILURES:
        told |= {"origin": FAILURES.c.metadata, "status": FAILURE_STATUS}
    names = [field.name for field in fields(record) if not field.kw_only]
    return [told[name].label(name) if name in told else table.c[name] for name in names]


def _payload(table: Table, *, whole: bool) -> dict[str, ColumnElement[Any]]:
    payload, raw = table.c.payload, table.c.payload_raw
    told: dict[str, ColumnElement[Any]] = {
        "payload_size": func.coalesce(size(payload), size(raw), 0)
    }
    if not whole:
        told["payload"] = case((size(payload) <= PAYLOAD_LIMIT, payload))
        told["payload_raw"] = case((size(raw) <= PAYLOAD_LIMIT, raw))
    return told


TABLES: dict[type[EventRecord], Table] = {EventRecord: EVENTS, FailureRecord: FAILURES}
"""Where the rows of each record are."""
LISTED = {table: columns(record, whole=False) for record, table in TABLES.items()}
"""The columns of lists."""


def read(record: type[R], row: Sequence[Any]) -> R:
    """Return a record of a row that begins with the columns of a list."""
    return record(*row[: len(LISTED[TABLES[record]])])
