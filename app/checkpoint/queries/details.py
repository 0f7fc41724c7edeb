"""One event or failure as a whole."""

from functools import cache
from typing import Any

from sqlalchemy import Select, Table, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.errors import NotFoundError
from app.checkpoint.models import EVENTS, FAILURES
from app.checkpoint.queries.rows import TABLES, columns
from app.checkpoint.records import EventRecord, FailureRecord

RELATED_LIMIT = 100
"""Failures of one event that are named, the newest."""
WHOLE = {table: columns(record, whole=True) for record, table in TABLES.items()}


async def event(
    connection: AsyncConnection, event_id: int, topics: frozenset[str] | None
) -> EventRecord:
    """Return one event with its whole payload.

    Raises:
        NotFoundError: there is none, or it is not of these topics.
    """
    row = await _row(connection, EVENTS, event_id, topics)
    return EventRecord(**row, related=await _related(connection, FAILURES, EVENTS, event_id))


async def failure(
    connection: AsyncConnection, failure_id: int, topics: frozenset[str] | None
) -> FailureRecord:
    """Return one failure with its whole payload.

    Raises:
        NotFoundError: there is none, or it is not of these topics.
    """
    row = await _row(connection, FAILURES, failure_id, topics)
    return FailureRecord(**row, related=await _related(connection, EVENTS, FAILURES, failure_id))


async def _row(
    connection: AsyncConnection, table: Table, row_id: int, topics: frozenset[str] | None
) -> dict[str, Any]:
    statement = _one(table, has_topics=topics is not None)
    found = await connection.execute(statement, {"row_id": row_id, "topics": topics})
    row = found.mappings().one_or_none()
    if row is None:
        msg = f"{'event' if table is EVENTS else 'failure'} not found"
        raise NotFoundError(msg)
    return dict(row)


@cache
def _one(table: Table, *, has_topics: bool) -> Select[Any]:
    statement = select(*WHOLE[table]).where(table.c.id == bindparam("row_id"))
    if has_topics:
        statement = statement.where(table.c.topic.in_(bindparam("topics", expanding=True)))
    return statement


async def _related(
    connection: AsyncConnection, others: Table, table: Table, row_id: int
) -> list[int]:
    newest = await connection.scalars(_newest(others, table), {"row_id": row_id})
    return list(newest.all())


@cache
def _newest(others: Table, table: Table) -> Select[int]:
    one = select(table.c.identity).where(table.c.id == bindparam("row_id"))
    ids = select(others.c.id).where(others.c.identity == one.scalar_subquery())
    return ids.order_by(others.c.id.desc()).limit(RELATED_LIMIT)
