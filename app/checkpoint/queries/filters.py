"""A filter as conditions on the columns of a table, the same on every database."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Dialect,
    String,
    Table,
    TypeDecorator,
    and_,
    bindparam,
    literal,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from app.checkpoint.models import EVENTS, FAILURES, NO_TIME, sort_key
from app.checkpoint.queries.rows import FAILURE_STATUS
from app.checkpoint.records import Filter

Condition = ColumnElement[bool]

EQUAL = (
    *("topic", "group_id", "agent", "entity_id", "event_type", "event_version", "checksum"),
    "partition",
)
EQUAL_IN_FAILURES = (*EQUAL, "error_class", "fingerprint")
VALUES = (*EQUAL_IN_FAILURES, "since", "until", "error_text", "topics")
"""What of a filter stands as a parameter in its conditions, by the same name."""


class Shape(NamedTuple):
    """What of a filter its conditions depend on: few differ, so statements are made only once."""

    given: frozenset[str]
    """The values that there are."""
    status: str


class _SortKey(TypeDecorator[datetime]):
    """A time, as events are sorted by it."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> int:
        return sort_key(value)


class position(FunctionElement[int]):  # noqa: N801 - stands in SQL like a function
    """Where in a text another one begins, from 1 on; 0: nowhere.

    Not LIKE: SQLite's takes `A` for `a`, and each has characters that mean another thing.
    """

    inherit_cache = True


@compiles(position)
def _position(element: position, compiler: SQLCompiler, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(position, "postgresql")
def _position_postgresql(element: position, compiler: SQLCompiler, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


def values_of(where: Filter) -> dict[str, Any]:
    """Return the values of the parameters in a filter's conditions."""
    values = {name: getattr(where, name) for name in VALUES}
    return {name: value for name, value in values.items() if value is not None}


def shape_of(where: Filter) -> Shape:
    """Return what the conditions depend on."""
    return Shape(given=frozenset(values_of(where)), status=where.status)


def event_conditions(shape: Shape) -> dict[str, Condition]:
    """Return the conditions on an event by what they are about."""
    conditions = _equal(EVENTS, shape, EQUAL)
    times: list[Condition] = []
    if "since" in shape.given:
        times.append(EVENTS.c.sort_key >= bindparam("since", type_=_SortKey()))
    if "until" in shape.given:
        times.append(EVENTS.c.sort_key < bindparam("until", type_=_SortKey()))
        times.append(EVENTS.c.sort_key > NO_TIME)
    if times:
        conditions["sort_key"] = and_(*times)
    return conditions


def failure_conditions(shape: Shape) -> dict[str, Condition]:
    """Return the conditions on a failure by what they are about."""
    conditions = _equal(FAILURES, shape, EQUAL_IN_FAILURES)
    if "since" in shape.given:
        conditions["since"] = FAILURES.c.last_failed_at >= bindparam("since")
    if "until" in shape.given:
        conditions["until"] = FAILURES.c.last_failed_at < bindparam("until")
    if "error_text" in shape.given:
        part = bindparam("error_text", type_=String())
        conditions["error_text"] = position(FAILURES.c.error_message, part) > 0
    if shape.status != "all":
        claim = shape.status if shape.status in {"open", "retrying"} else None
        stored = "open" if claim or shape.status == "unresolved" else shape.status
        conditions["status"] = FAILURES.c.status == stored
        if claim:
            conditions["claim"] = literal(claim) == FAILURE_STATUS
    return conditions


def _equal(table: Table, shape: Shape, names: tuple[str, ...]) -> dict[str, Condition]:
    conditions: dict[str, Condition] = {
        name: table.c[name] == bindparam(name) for name in names if name in shape.given
    }
    if "topics" in shape.given:
        conditions["topics"] = table.c.topic.in_(bindparam("topics", expanding=True))
    return conditions


CONDITIONS = {EVENTS: event_conditions, FAILURES: failure_conditions}
"""How the conditions on a row of each table are made."""
