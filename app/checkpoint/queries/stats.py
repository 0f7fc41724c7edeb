"""Counts by status, topic and agent of the newest rows."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import CompoundSelect, Row, Select, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.models import EVENTS, FAILURES
from app.checkpoint.queries.indexes import backwards, equal
from app.checkpoint.queries.rows import FAILURE_STATUS
from app.checkpoint.queries.windows import ORDER
from app.checkpoint.records import Count, Stats

EVENTS_LIMIT = 2_000
"""Events that are counted, the last that were recorded."""
FAILURES_LIMIT = 500
"""Failures of each stored status that are counted, those at the head of their list."""
STORED = {"open": ("open", "retrying"), "resolved": ("resolved",), "discarded": ("discarded",)}
"""What each stored status is told as."""
EVENT = "event"
"""What stands in the place of a status for events."""

Rows: TypeAlias = Sequence[Row[Any]]


async def stats(connection: AsyncConnection, *, topics: frozenset[str] | None) -> Stats:
    """Count what these topics have among the newest rows."""
    # In one statement, so that they are of one state of the tables.
    rows = (await connection.execute(_counts())).all()
    events = [row for row in rows if row.status == EVENT]
    failures = [row for row in rows if row.status != EVENT]
    unresolved = [row for row in failures if row.status in STORED["open"]]
    return Stats(
        events=_count(events, topics, capped=_total(events) >= EVENTS_LIMIT),
        events_by_topic=_by("topic", events, topics),
        events_by_agent=_by("agent", events, topics),
        failures_by_status=_by_status(failures, topics),
        unresolved_by_topic=_by("topic", unresolved, topics),
        unresolved_by_agent=_by("agent", unresolved, topics),
    )


@cache
def _counts() -> CompoundSelect[Any]:
    columns = [EVENTS.c.topic, EVENTS.c.agent]
    events = select(literal(EVENT).label("status"), *columns).order_by(EVENTS.c.id.desc())
    return union_all(_numbers(events.limit(EVENTS_LIMIT)), *map(_failures, STORED))


def _failures(stored: str) -> Select[Any]:
    columns = [FAILURE_STATUS.label("status"), FAILURES.c.topic, FAILURES.c.agent]
    rows = backwards(select(*columns), FAILURES, ["status"], *ORDER)
    rows = rows.where(equal([FAILURES.c.status], [literal(stored)]))
    return _numbers(rows.limit(FAILURES_LIMIT))


def _numbers(newest: Select[Any]) -> Select[Any]:
    rows = newest.subquery()
    return select(*rows.c, func.count().label("number")).group_by(*rows.c)


def _by_status(rows: Rows, topics: frozenset[str] | None) -> dict[str, Count]:
    counts = {}
    for told in STORED.values():
        capped = _total(row for row in rows if row.status in told) >= FAILURES_LIMIT
        for status in told:
            of_status = [row for row in rows if row.status == status]
            counts[status] = _count(of_status, topics, capped=capped)
    return counts


def _count(rows: Rows, topics: frozenset[str] | None, *, capped: bool) -> Count:
    return Count(count=sum(_by("topic", rows, topics).values()), capped=capped)


def _total(rows: Iterable[Row[Any]]) -> int:
    return sum(row.number for row in rows)


def _by(name: str, rows: Rows, topics: frozenset[str] | None) -> dict[str, int]:
    numbers = Counter[str]()
    for row in rows:
        if topics is None or row.topic in topics:
            numbers[getattr(row, name)] += row.number
    return dict(numbers)
