"""The few rows that a read may look through, found by an index however large the table is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    Table,
    and_,
    func,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.queries.filters import Condition
from app.checkpoint.queries.rows import EVENTS, FAILURES
from app.checkpoint.records import Cursor

LOOKUP_LIMIT = 1_000
"""Rows of one entity or content up to which all of them are looked through."""

LOOKUPS = {EVENTS: ("entity_id",), FAILURES: ("checksum",)}
"""What has an index, but none that is in the order of a list."""
WALKS = {
    EVENTS: ((),),
    FAILURES: (("entity_id",), ("status", "fingerprint"), ("status",), ()),
}
"""What has an index that goes on in the order of a list, the best one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What to look through: all rows along an index, or those that a lookup has found."""

    table: Table
    index: Sequence[str]
    """Its columns."""
    along: Sequence[Condition]
    """What the index answers."""
    filters: Sequence[Condition]
    """What it does not."""
    is_lookup: bool = False
    """Whether it is known to be no more than LOOKUP_LIMIT rows, which are in no order."""

    def rows(self, size: int) -> Subquery:
        """Return id and sort_key of the first rows, and which of them the filters match."""
        matches = and_(true(), *self.filters).label("matches")
        return self.select(self.table.c.id, self.table.c.sort_key, matches).limit(size).subquery()

    def select(self, *columns: ColumnElement[Any]) -> Select[Any]:
        """Return some columns of all rows."""
        rows = along(select(*columns), self.table, *self.index).where(*self.along)
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
    if after is not None:
        conditions = {**conditions, "id": _behind(table, after)}
    for name in LOOKUPS[table]:
        if name in conditions and await _is_rare(connection, table, name, conditions[name]):
            return _window(table, conditions, (name,), is_lookup=True)
    equal = next(names for names in WALKS[table] if conditions.keys() >= set(names))
    return _window(table, conditions, (*equal, "sort_key", "id"))


def along(statement: Select[Any], table: Table, *columns: str) -> Select[Any]:
    """Have MariaDB go along the index of these columns: by itself it often takes another one."""
    index = next(one for one in table.indexes if one.columns.keys() == list(columns))
    return statement.with_hint(table, f"FORCE INDEX ({index.name})", "mysql")


def _window(
    table: Table, conditions: dict[str, Condition], index: Sequence[str], *, is_lookup: bool = False
) -> Window:
    return Window(
        table=table,
        index=index,
        along=[one for name, one in conditions.items() if name in index],
        filters=[one for name, one in conditions.items() if name not in index],
        is_lookup=is_lookup,
    )


async def _is_rare(
    connection: AsyncConnection, table: Table, name: str, condition: Condition
) -> bool:
    some = (
        along(select(table.c.id), table, name).where(condition).limit(LOOKUP_LIMIT + 1).subquery()
    )
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
