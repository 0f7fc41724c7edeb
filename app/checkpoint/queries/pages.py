"""Pages and counts whose cost depends on neither the size of the table nor the page."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Table, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.queries.filters import Condition
from app.checkpoint.queries.windows import LOOKUP_LIMIT, Window, newest_first, window
from app.checkpoint.records import Count, Cursor

SCAN_LIMIT = 2_000
"""Rows that one page looks through where no index answers the filter."""
COUNT_LIMIT = 10_000
"""Rows at which counting ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Which part of a list is wanted."""

    limit: int
    offset: int = 0
    """Matching rows to pass over, of those that are looked through for this page."""
    after: Cursor | None = None


async def page(
    connection: AsyncConnection,
    columns: list[ColumnElement[Any]],
    conditions: dict[str, Condition],
    cut: Cut,
) -> tuple[list[dict[str, Any]], Cursor | None]:
    """Return rows, newest first, and where to go on."""
    table: Table = columns[0].table
    found = await window(connection, table, conditions, cut.after)
    size = _size(found, cut)
    rows = found.rows(size)
    ids = select(rows.c.id).where(rows.c.matches).order_by(*newest_first(rows.c))
    ids_here = ids.limit(cut.limit + 1).offset(cut.offset).subquery()
    statement = select(*columns, table.c.sort_key.label("cursor_key"))
    joined = statement.join(ids_here, ids_here.c.id == table.c.id)
    result = await connection.execute(joined.order_by(*newest_first(table.c)))
    names = list(result.keys())
    # By mappings() it would take twice as long.
    listed: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in result]
    keys = [row.pop("cursor_key") for row in listed]
    if len(listed) > cut.limit:
        last = cut.limit - 1
        return listed[:-1], Cursor(keys[last], listed[last]["id"])
    return listed, await _end(connection, found, size)


async def count(
    connection: AsyncConnection, table: Table, conditions: dict[str, Condition]
) -> Count:
    """Count rows, those at most that a bounded number of rows holds."""
    found = await window(connection, table, conditions)
    size = SCAN_LIMIT if found.filters else COUNT_LIMIT
    rows = found.rows(size)
    counts = select(func.count(), func.count(case((rows.c.matches, 1)))).select_from(rows)
    seen, matching = (await connection.execute(counts)).one()
    return Count(count=matching, capped=seen >= size)


def _size(found: Window, cut: Cut) -> int:
    if found.is_lookup:
        return LOOKUP_LIMIT
    return SCAN_LIMIT if found.filters else cut.offset + cut.limit + 1


async def _end(connection: AsyncConnection, found: Window, size: int) -> Cursor | None:
    """Return the last row that was looked through, if there may be more behind it."""
    if found.is_lookup or not found.filters:
        return None
    last = found.select(found.table.c.sort_key, found.table.c.id).offset(size - 1).limit(1)
    row = (await connection.execute(last)).one_or_none()
    return row and Cursor(*row)
