"""One event or failure as a whole."""

from typing import Any

from sqlalchemy import ColumnElement, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.errors import NotFoundError
from app.checkpoint.models import EVENTS, FAILURES
from app.checkpoint.queries.rows import event_columns, failure_columns
from app.checkpoint.records import EventRecord, FailureRecord

RELATED_LIMIT = 100
"""Failures of one event that are named, the newest."""


async def event(
    connection: AsyncConnection, event_id: int, topics: frozenset[str] | None
) -> EventRecord:
    """Return one event with its whole payload.

    Raises:
        NotFoundError: there is none, or it is not of these topics.
    """
    row = await _row(connection, event_columns(whole=True), event_id, topics)
    return EventRecord(**row, related=await _related(connection, FAILURES, EVENTS, event_id))


async def failure(
    connection: AsyncConnection, failure_id: int, topics: frozenset[str] | None
) -> FailureRecord:
    """Return one failure with its whole payload.

    Raises:
        NotFoundError: there is none, or it is not of these topics.
    """
    row = await _row(connection, failure_columns(whole=True), failure_id, topics)
    return FailureRecord(**row, related=await _related(connection, EVENTS, FAILURES, failure_id))


async def _row(
    connection: AsyncConnection,
    columns: list[ColumnElement[Any]],
    row_id: int,
    topics: frozenset[str] | None,
) -> dict[str, Any]:
    table: Table = columns[0].table
    statement = select(*columns).where(table.c.id == row_id)
    if topics is not None:
        statement = statement.where(table.c.topic.in_(topics))
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        msg = f"{'event' if table is EVENTS else 'failure'} not found"
        raise NotFoundError(msg)
    return dict(row)


async def _related(
    connection: AsyncConnection, others: Table, table: Table, row_id: int
) -> list[int]:
    identity = select(table.c.identity).where(table.c.id == row_id).scalar_subquery()
    ids = select(others.c.id).where(others.c.identity == identity)
    newest = ids.order_by(others.c.id.desc()).limit(RELATED_LIMIT)
    return list((await connection.scalars(newest)).all())
