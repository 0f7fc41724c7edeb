"""How each database is made to go along one index, in its order, and to begin where it is told.

Left to choose, PostgreSQL takes an index of the right order and passes over all rows of other
statuses, where its figures say that there are few of them; MariaDB takes the first that fits, and
sorts. PostgreSQL is asked for the order of all columns, and is not told that the last of those that
are equal in all rows is, so that one index only will do; SQLite does well with the same; MariaDB is
told the name.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Select, Table, and_, or_, tuple_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

Columns: TypeAlias = Sequence[ColumnElement[Any]]

PLACE = 3
"""Columns of which a place in a list consists: time and id, and one of those that are equal.

With two of these, PostgreSQL would not see where they end.
"""


class _comparison(FunctionElement[bool]):  # noqa: N801 - stands in SQL like a function
    """Compares some columns with as many values."""

    def __init__(self, columns: Columns, values: Columns) -> None:
        super().__init__(*columns, *values)

    @property
    def sides(self) -> tuple[Columns, Columns]:
        """The columns, and the values."""
        both = list(self.clauses)
        return both[: len(both) // 2], both[len(both) // 2 :]


class equal(_comparison):  # noqa: N801 - the same
    """All columns are equal to their values."""

    inherit_cache = True


class below(_comparison):  # noqa: N801 - the same
    """The last two columns stand before their values; that the others are equal is known."""

    inherit_cache = True


class constant(FunctionElement[Any]):  # noqa: N801 - the same
    """A column that is equal in all rows, in their order."""

    inherit_cache = True


@compiles(constant)
def _constant(element: constant, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(constant, "mysql")
def _constant_mysql(*_: Any, **__: Any) -> str:
    # Of the column itself it would not see that there is nothing to sort.
    return "NULL"


@compiles(equal)
def _equal(element: equal, compiler: SQLCompiler, **options: Any) -> str:
    *others, (column, value) = zip(*element.sides, strict=True)
    same = [other == its_value for other, its_value in others]
    return compiler.process(and_(*same, column >= value, column <= value), **options)


@compiles(equal, "mysql")
def _equal_mysql(element: equal, compiler: SQLCompiler, **options: Any) -> str:
    pairs = zip(*element.sides, strict=True)
    return compiler.process(and_(*[column == value for column, value in pairs]), **options)


@compiles(below)
def _below(element: below, compiler: SQLCompiler, **options: Any) -> str:
    columns, values = (tuple_(*side[-PLACE:]) for side in element.sides)
    return compiler.process(columns < values, **options)


@compiles(below, "mysql")
def _below_mysql(element: below, compiler: SQLCompiler, **options: Any) -> str:
    *_, (time, last_time), (row, last_row) = zip(*element.sides, strict=True)
    behind = or_(time < last_time, and_(time == last_time, row < last_row))
    return compiler.process(behind.self_group(), **options)


def along(statement: Select[Any], table: Table, *columns: str) -> Select[Any]:
    """Go along the index of these columns."""
    index = next(one for one in table.indexes if one.columns.keys() == list(columns))
    return statement.with_hint(table, f"FORCE INDEX ({index.name})", "mysql")


def backwards(
    statement: Select[Any], table: Table, same: Sequence[str], *order: str
) -> Select[Any]:
    """Go along the index of these columns, from its end; the first ones are equal in all rows."""
    columns = [*(constant(table.c[name]) for name in same), *(table.c[name] for name in order)]
    statement = along(statement, table, *same, *order)
    return statement.order_by(*[column.desc() for column in columns])
