"""The few rows that a read may look through, found by an index however large the table is."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import (
    BinaryExpression,
    ColumnElement,
    Integer,
    Select,
    Subquery,
    Table,
    and_,
    bindparam,
    func,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.models import EVENTS, FAILURES
from app.checkpoint.queries.filters import CONDITIONS, Condition, Shape, shape_of, values_of
from app.checkpoint.queries.indexes import Columns, along, backwards, below, equal
from app.checkpoint.records import Filter

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
SHAPES = 512
"""Statements of each kind that are kept for other values."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """What to look through: all rows along an index, or those that a lookup has found.

    Of values, it holds parameters: those of a filter, and `sort_key` and `id` of a cursor.
    """

    table: Table
    same: Sequence[str]
    """The columns that are equal in all rows: an index begins with them."""
    along: Sequence[Condition]
    """What the index answers."""
    filters: Sequence[Condition]
    """What it does not."""
    is_lookup: bool = False
    """Whether it is known to be no more than LOOKUP_LIMIT rows, which are in no order."""

    @property
    def is_page(self) -> bool:
        """Whether its rows are those that were asked for, in the order of a list."""
        return not (self.is_lookup or self.filters)

    def rows(self) -> Subquery:
        """Return id and sort_key of the first `size` rows, and which the filters match."""
        matches = and_(true(), *self.filters).label("matches")
        rows = self.select(self.table.c.id, self.table.c.sort_key, matches)
        return rows.limit(bindparam("size", type_=Integer())).subquery()

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
    connection: AsyncConnection, table: Table, where: Filter, *, is_behind: bool = False
) -> Window:
    """Return the rows, all or those behind a cursor, that have to be looked through."""
    shape = shape_of(where)
    for name in LOOKUPS[table]:
        if name in shape.given and await _is_rare(connection, table, name, where):
            return _lookup(table, name, shape, is_behind=is_behind)
    return _walk(table, shape, is_behind=is_behind)


def is_one_statement(table: Table, where: Filter) -> bool:
    """Return whether one statement answers all: no row has to be looked up or looked through."""
    shape = shape_of(where)
    has_lookup = not shape.given.isdisjoint(LOOKUPS[table])
    return not has_lookup and _walk(table, shape, is_behind=False).is_page


@lru_cache(SHAPES)
def _lookup(table: Table, name: str, shape: Shape, *, is_behind: bool) -> Window:
    conditions = CONDITIONS[table](shape)
    filters = [one for key, one in conditions.items() if key != name]
    if is_behind:
        filters.append(_behind(table))
    return Window(
        table=table, same=[name], along=[conditions[name]], filters=filters, is_lookup=True
    )


@lru_cache(SHAPES)
def _walk(table: Table, shape: Shape, *, is_behind: bool) -> Window:
    conditions = CONDITIONS[table](shape)
    same = next(names for names in WALKS[table] if conditions.keys() >= set(names))
    values = [_value(conditions[name]) for name in same]
    bounds: list[Condition] = []
    if same:
        bounds.append(equal([table.c[name] for name in same], values))
    if is_behind:
        bounds.append(_behind(table, same, values))
    return Window(
        table=table,
        same=same,
        along=[*bounds, *(conditions[name] for name in conditions.keys() & {"sort_key"})],
        filters=[one for name, one in conditions.items() if name not in {*same, *ORDER}],
    )


def _behind(table: Table, same: Sequence[str] = (), values: Columns = ()) -> Condition:
    columns = [table.c[name] for name in ORDER]
    place = [bindparam(column.name, type_=column.type) for column in columns]
    return below([*(table.c[name] for name in same), *columns], [*values, *place])


def _value(condition: Condition) -> ColumnElement[Any]:
    """Return what a column has to be equal to."""
    return cast("BinaryExpression[bool]", condition).right


async def _is_rare(connection: AsyncConnection, table: Table, name: str, where: Filter) -> bool:
    found = await connection.scalar(_count_some(table, name), values_of(where))
    return bool(found is not None and found <= LOOKUP_LIMIT)


@lru_cache(SHAPES)
def _count_some(table: Table, name: str) -> Select[int]:
    [condition] = CONDITIONS[table](Shape(given=frozenset({name}), status="all")).values()
    some = along(select(table.c.id), table, name).where(condition).limit(LOOKUP_LIMIT + 1)
    return select(func.count()).select_from(some.subquery())
