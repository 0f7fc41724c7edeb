"""Unresolved failures by fingerprint: found, dated and counted without reading them all."""

from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, Subquery, case, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.queries.rows import FAILURES, failure_columns
from app.checkpoint.queries.windows import newest_first
from app.checkpoint.records import Count, FailureGroup, FailureRecord

GROUPS_LIMIT = 1_000
"""Fingerprints that are looked at; with more of them, those with the greatest digests are not."""
COUNTED = 10_000
"""Failures that are counted, in equal parts by the groups that are asked for."""

ROW = FAILURES.c


async def groups(
    connection: AsyncConnection, *, limit: int, topics: frozenset[str] | None
) -> list[FailureGroup]:
    """Return the groups that failed last."""
    enough = max(COUNTED // limit, 1)
    rows = await connection.execute(_statement(_top(limit, topics).subquery(), enough))
    return [_group(dict(row), enough) for row in rows.mappings()]


def _statement(top: Subquery, enough: int) -> Select[Any]:
    one = top.c.group_fingerprint
    columns = [one, top.c.first, top.c.last, _count(one, enough).label("group_count")]
    statement = select(*columns, *failure_columns(whole=False))
    return statement.join(top, ROW.id == top.c.sample).order_by(top.c.last.desc(), one)


def _top(limit: int, topics: frozenset[str] | None) -> Select[Any]:
    found = _fingerprints()
    one = found.c.fingerprint
    sample = _edge(ROW.id, one, *newest_first(ROW)).label("sample")
    first = _edge(ROW.first_failed_at, one, ROW.first_failed_at).label("first")
    last = _edge(ROW.last_failed_at, one, ROW.last_failed_at.desc()).label("last")
    top = select(one.label("group_fingerprint"), first, last, sample).where(one.is_not(None))
    if topics is not None:
        # A fingerprint is of one topic.
        top = top.where(_edge(ROW.topic, one, *newest_first(ROW)).in_(topics))
    return top.order_by(last.desc(), one).limit(limit)


def _fingerprints() -> CTE:
    """Jump along the index from one fingerprint to the next."""

    def _next(than: ColumnElement[Any]) -> ColumnElement[Any]:
        following = select(ROW.fingerprint).where(ROW.status == "open", than)
        return following.order_by(ROW.fingerprint).limit(1).scalar_subquery()

    first = select(
        _next(ROW.fingerprint.is_not(None)).label("fingerprint"), literal(1).label("number")
    )
    found = first.cte("found", recursive=True)
    following = select(_next(ROW.fingerprint > found.c.fingerprint), found.c.number + 1)
    return found.union_all(
        following.where(found.c.fingerprint.is_not(None), found.c.number < GROUPS_LIMIT)
    )


def _edge(column: ColumnElement[Any], one: ColumnElement[Any], *order: Any) -> ColumnElement[Any]:
    # Not min() or max(): MariaDB would read the whole group for them.
    return _members(one).with_only_columns(column).order_by(*order).limit(1).scalar_subquery()


def _members(one: ColumnElement[Any]) -> Select[Any]:
    rows = select(ROW.id).where(ROW.status == "open", ROW.fingerprint == one)
    return rows.correlate(one.table)


def _count(one: ColumnElement[Any], enough: int) -> ColumnElement[Any]:
    """Count a group's failures, unless there are so many that counting ends."""
    rows = _members(one)
    last_counted = rows.order_by(*newest_first(ROW)).offset(enough - 1).limit(1).scalar_subquery()
    all_of_them = rows.with_only_columns(func.count()).scalar_subquery()
    return case((last_counted.is_not(None), enough), else_=all_of_them)


def _group(row: dict[str, Any], enough: int) -> FailureGroup:
    fingerprint, first, last = (row.pop(name) for name in ("group_fingerprint", "first", "last"))
    count = row.pop("group_count")
    sample = FailureRecord(**row)
    return FailureGroup(
        fingerprint=fingerprint,
        agent=sample.agent,
        topic=sample.topic,
        error_class=sample.error_class,
        count=Count(count=count, capped=count >= enough),
        first_failed_at=first,
        last_failed_at=last,
        sample=sample,
    )
