"""A filter as conditions on the columns of a table, the same on every database."""

from typing import Any

from sqlalchemy import ColumnElement, Table, and_, literal
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


def event_conditions(where: Filter) -> dict[str, Condition]:
    """Return the conditions on an event by what they are about."""
    conditions = _equal(EVENTS, where, EQUAL)
    times: list[Condition] = []
    if where.since is not None:
        times.append(EVENTS.c.sort_key >= sort_key(where.since))
    if where.until is not None:
        times.append(EVENTS.c.sort_key < sort_key(where.until))
        times.append(EVENTS.c.sort_key > NO_TIME)
    if times:
        conditions["sort_key"] = and_(*times)
    return conditions


def failure_conditions(where: Filter) -> dict[str, Condition]:
    """Return the conditions on a failure by what they are about."""
    conditions = _equal(FAILURES, where, EQUAL_IN_FAILURES)
    if where.since is not None:
        conditions["since"] = FAILURES.c.last_failed_at >= where.since
    if where.until is not None:
        conditions["until"] = FAILURES.c.last_failed_at < where.until
    if where.error_text is not None:
        conditions["error_text"] = position(FAILURES.c.error_message, where.error_text) > 0
    if where.status != "all":
        claim = where.status if where.status in {"open", "retrying"} else None
        stored = "open" if claim or where.status == "unresolved" else where.status
        conditions["status"] = FAILURES.c.status == stored
        if claim:
            conditions["claim"] = literal(claim) == FAILURE_STATUS
    return conditions


def _equal(table: Table, where: Filter, names: tuple[str, ...]) -> dict[str, Condition]:
    wanted = {name: getattr(where, name) for name in names}
    conditions: dict[str, Condition] = {
        name: table.c[name] == value for name, value in wanted.items() if value is not None
    }
    if where.topics is not None:
        conditions["topics"] = table.c.topic.in_(where.topics)
    return conditions
