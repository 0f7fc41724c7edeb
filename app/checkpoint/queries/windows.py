"""The few rows that a read may look through, found by an index however large the table is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import (
    BinaryExpression,
    ColumnElement,
    Select,
    Subquery,
    Table,
    and_,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.models import EVENTS, FAILURES
from app.checkpoint.queries.filters import Condition
from app.checkpoint.queries.indexes import Columns, along, backwards, below, equal
from app.checkpoint.records import Cursor

LOOKUP_LIMIT = 1_000
"""Rows of one entity or content up to which all of them are looked through."""

ORDER = ("sort_key", "id")
"""Every list is newest first: by event time, those without one last, then by id."""
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
    same: Sequence[str]
    """The columns that are equal in all rows: an index begins with them."""
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
        rows = select(*columns).where(*self.along)
        if self.is_lookup:
            return along(rows, self.table, *self.same)
        return backwards(rows, self.table, self.same, *ORDER)


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
    for name in LOOKUPS[table]:
        if name in conditions and await _is_rare(connection, table, name, conditions[name]):
            return _lookup(table, name, conditions, after)
    same = next(names for names in WALKS[table] if conditions.keys() >= set(names))
    return _walk(table, same, conditions, after)


def _lookup(
    table: Table, name: str, conditions: dict[str, Condition], after: Cursor | None
) -> Window:
    filters = [one for key, one in conditions.items() if key != name]
    if after is not None:
        filters.append(_behind(table, after))
    return Window(
        table=table, same=[name], along=[conditions[name]], filters=filters, is_lookup=True
    )


def _walk(
    table: Table, same: Sequence[str], conditions: dict[str, Condition], after: Cursor | None
) -> Window:
    values = [_value(conditions[name]) for name in same]
    bounds: list[Condition] = []
    if same:
        bounds.append(equal([table.c[name] for name in same], values))
    if after is not None:
        bounds.append(_behind(table, after, same, values))
    return Window(
        table=table,
        same=same,
        along=[*bounds, *(conditions[name] for name in conditions.keys() & {"sort_key"})],
        filters=[one for name, one in conditions.items() if name not in {*same, *ORDER}],
    )


def _behind(
    table: Table, after: Cursor, same: Sequence[str] = (), values: Columns = ()
) -> Condition:
    time, row = table.c.sort_key, table.c.id
    place = [literal(after.sort_key, time.type), literal(after.id, row.type)]
    return below([*(table.c[name] for name in same), time, row], [*values, *place])


def _value(condition: Condition) -> ColumnElement[Any]:
    """Return what a column has to be equal to."""
    return cast("BinaryExpression[bool]", condition).right


async def _is_rare(
    connection: AsyncConnection, table: Table, name: str, condition: Condition
) -> bool:
    some = (
        along(select(table.c.id), table, name).where(condition).limit(LOOKUP_LIMIT + 1).subquery()
    )
    found = await connection.scalar(select(func.count()).select_from(some))
    return bool(found is not None and found <= LOOKUP_LIMIT)
