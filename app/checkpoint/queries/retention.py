"""Rows that may be too old, a page at a time in the order of their ids."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.models import FAILURES, ITEMS, OPERATIONS, utcnow


class Page(NamedTuple):
    """Some rows that follow each other."""

    last: int
    """The highest of their ids."""
    oldest: datetime
    """When the oldest of them was recorded."""
    now: datetime
    """The database's time."""


class EndedOperation(NamedTuple):
    """An operation whose time is over."""

    id: int
    total: int


async def now(connection: AsyncConnection) -> datetime:
    """Return the database's time."""
    return (await connection.execute(select(utcnow()))).scalar_one()


async def page(connection: AsyncConnection, table: Table, *, after: int, limit: int) -> Page | None:
    """Return what comes after an id; None: nothing does."""
    following = select(table.c.id, table.c.created_at).where(table.c.id > after)
    rows = following.order_by(table.c.id).limit(limit).subquery()
    found = select(func.max(rows.c.id), func.min(rows.c.created_at), utcnow())
    row = (await connection.execute(found)).one()
    return None if row[0] is None else Page._make(row)


async def count(connection: AsyncConnection, table: Table, which: ColumnElement[bool]) -> int:
    """Return for how many rows this holds."""
    return await connection.scalar(select(func.count()).select_from(table).where(which)) or 0


async def ended_operation(
    connection: AsyncConnection, *, before: datetime, after: int
) -> EndedOperation | None:
    """Return the next operation that ended before a time; None: there is none."""
    ended = OPERATIONS.c.id > after, OPERATIONS.c.finished_at < before
    statement = select(OPERATIONS.c.id, OPERATIONS.c.total).where(*ended)
    rows = await connection.execute(statement.order_by(OPERATIONS.c.id).limit(1))
    row = rows.one_or_none()
    return row and EndedOperation(*row)


def is_not_awaited() -> ColumnElement[bool]:
    """Return what holds for the failures that no operation has still to come to.

    An operation takes up failures in the order of their ids: only its next one is looked for.
    """
    pending = select(ITEMS.c.failure_id).where(ITEMS.c.operation_id == OPERATIONS.c.id)
    following = pending.where(ITEMS.c.outcome.is_(None)).order_by(ITEMS.c.position).limit(1)
    first = select(func.min(following.scalar_subquery())).where(OPERATIONS.c.status == "running")
    return FAILURES.c.id < func.coalesce(first.scalar_subquery(), FAILURES.c.id + 1)
