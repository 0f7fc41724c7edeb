"""Pages and counts whose cost depends on neither the size of the table nor the page."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Integer, Select, Table, bindparam, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.queries.filters import values_of
from app.checkpoint.queries.rows import LISTED, TABLES, R, read
from app.checkpoint.queries.windows import LOOKUP_LIMIT, SHAPES, Window, newest_first, window
from app.checkpoint.records import Count, Cursor, Filter, Page

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


async def page(connection: AsyncConnection, record: type[R], where: Filter, cut: Cut) -> Page[R]:
    """Return some records, newest first, and where to go on."""
    found = await window(connection, TABLES[record], where, is_behind=cut.after is not None)
    size = _size(found, cut)
    values = {"size": size, "limit": cut.limit + 1, "offset": cut.offset, "last": size - 1}
    values |= values_of(where) | (cut.after._asdict() if cut.after else {})
    statement = _listing(found, is_deep=cut.offset > 0)
    rows = (await connection.execute(statement, values)).all()
    items = [read(record, row) for row in rows[: cut.limit]]
    if len(rows) > cut.limit:
        last = rows[cut.limit - 1]
        return Page(items=items, next=Cursor(last.cursor_key, last.id))
    return Page(items=items, next=await _end(connection, found, values))


async def count(connection: AsyncConnection, table: Table, where: Filter) -> Count:
    """Count rows, those at most that a bounded number of rows holds."""
    found = await window(connection, table, where)
    size = SCAN_LIMIT if found.filters else COUNT_LIMIT
    values = values_of(where) | {"size": size}
    seen, matching = (await connection.execute(_counts(found), values)).one()
    return Count(count=matching, capped=seen >= size)


@lru_cache(SHAPES)
def _listing(found: Window, *, is_deep: bool) -> Select[Any]:
    table = found.table
    columns = [*LISTED[table], table.c.sort_key.label("cursor_key")]
    limit, offset = (bindparam(name, type_=Integer()) for name in ("limit", "offset"))
    if found.is_page and not is_deep:
        return found.select(*columns).limit(limit)
    rows = found.rows()
    # What is passed over is read from the index only.
    ids = select(rows.c.id).where(rows.c.matches).order_by(*newest_first(rows.c))
    here = ids.limit(limit).offset(offset).subquery()
    statement = select(*columns).join(here, here.c.id == table.c.id)
    return statement.order_by(*newest_first(table.c))


@lru_cache(SHAPES)
def _counts(found: Window) -> Select[int, int]:
    rows = found.rows()
    return select(func.count(), func.count(case((rows.c.matches, 1)))).select_from(rows)


@lru_cache(SHAPES)
def _last(found: Window) -> Select[int, int]:
    rows = found.select(found.table.c.sort_key, found.table.c.id)
    return rows.offset(bindparam("last", type_=Integer())).limit(1)


def _size(found: Window, cut: Cut) -> int:
    if found.is_lookup:
        return LOOKUP_LIMIT
    return SCAN_LIMIT if found.filters else cut.offset + cut.limit + 1


async def _end(connection: AsyncConnection, found: Window, values: dict[str, Any]) -> Cursor | None:
    """Return the last row that was looked through, if there may be more behind it."""
    if found.is_lookup or found.is_page:
        return None
    row = (await connection.execute(_last(found), values)).one_or_none()
    return row and Cursor(*row)
