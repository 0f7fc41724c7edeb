"""The few rows that a read may look through, found by an index however large the table is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    Subquery,
    Table,
    and_,
    func,
    or_,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.util import ClauseAdapter
from sqlalchemy.sql.visitors import iterate

from app.checkpoint.queries.filters import Condition
from app.checkpoint.queries.rows import EVENTS, FAILURES
from app.checkpoint.records import Cursor

LOOKUP_LIMIT = 1_000
"""Rows of one entity or content up to which all of them are looked through."""

LOOKUPS = {EVENTS: ("entity_id",), FAILURES: ("checksum",)}
"""What has an index, but none that is in the order of a list."""
WALKS = {
    EVENTS: (("sort_key",), ()),
    FAILURES: (("entity_id",), ("status", "fingerprint"), ("status",), ()),
}
"""What has an index in the order of a list, the best one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What to look through: all rows along an index, or those that a lookup has found."""

    table: Table
    along: Sequence[Condition]
    """What the index answers."""
    filters: Sequence[Condition]
    """What it does not."""
    is_lookup: bool = False
    """Whether it is known to be no more than LOOKUP_LIMIT rows, which are in no order."""

    def rows(self, size: int) -> tuple[Subquery, list[Condition]]:
        """Return the first rows, and the filters as conditions on them."""
        names = {column.key for one in self.filters for column in _columns(one)}
        columns = [self.table.c[name] for name in sorted(names | {"id", "sort_key"})]
        rows = self.select(*columns).limit(size).subquery()
        return rows, [ClauseAdapter(rows).traverse(one) for one in self.filters]

    def select(self, *columns: ColumnElement[Any]) -> Select[Any]:
        """Return some columns of all rows."""
        rows = select(*columns).where(*self.along)
        return rows if self.is_lookup else rows.order_by(*newest_first(self.table.c))


def newest_first(columns: Any) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Return the order of every list: by event time, those without one last, then by id."""
    return columns.sort_key.desc(), columns.id.desc()


async def window(
    connection: AsyncConnection,
    table: Table,
    conditions: dict[str, Condition],
    after: Cursor | None = None,
) -> Window:
    """Return the rows behind a cursor that have to be looked through."""
    behind = [] if after is None else [_behind(table, after)]
    for name in LOOKUPS[table]:
        if name in conditions and await _is_rare(connection, table, conditions[name]):
            others = [one for key, one in conditions.items() if key != name]
            along, filters = [conditions[name]], [*others, *behind]
            return Window(table=table, along=along, filters=filters, is_lookup=True)
    walk = next(names for names in WALKS[table] if conditions.keys() >= set(names))
    along = [*(conditions[name] for name in walk), *behind]
    filters = [one for key, one in conditions.items() if key not in walk]
    return Window(table=table, along=along, filters=filters)


async def _is_rare(connection: AsyncConnection, table: Table, condition: Condition) -> bool:
    some = select(table.c.id).where(condition).limit(LOOKUP_LIMIT + 1).subquery()
    found = await connection.scalar(select(func.count()).select_from(some))
    return bool(found is not None and found <= LOOKUP_LIMIT)


def _behind(table: Table, after: Cursor) -> Condition:
    time, row = table.c.sort_key, table.c.id
    # Twice the same: PostgreSQL and SQLite find the place by the tuple, MariaDB by the other one.
    # By the time alone each would read all rows of one time, such as all that have none.
    return and_(
        tuple_(time, row) < after,
        or_(time < after.sort_key, and_(time == after.sort_key, row < after.id)),
    )


def _columns(condition: Condition) -> list[Column[Any]]:
    return [element for element in iterate(condition) if isinstance(element, Column)]
