"""Unresolved failures by fingerprint: found, dated and counted without reading them all."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    bindparam,
    case,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.models import FAILURES
from app.checkpoint.queries.indexes import along, backwards, constant, equal
from app.checkpoint.queries.rows import LISTED, read
from app.checkpoint.queries.windows import ORDER
from app.checkpoint.records import Count, FailureGroup, FailureRecord

GROUPS_LIMIT = 1_000
"""Fingerprints that are looked at; with more of them, it is by chance which are not."""
COUNTED = 2_000
"""Failures that are counted, in equal parts by the groups that are asked for."""

ROW = FAILURES.c
GROUP = ("status", "fingerprint")
"""How each index of groups begins."""


async def groups(
    connection: AsyncConnection, *, limit: int, offset: int, topics: frozenset[str] | None
) -> list[FailureGroup]:
    """Return the groups that failed last, without the first ones."""
    statement = _statement(connection.dialect.name, limit, topics)
    rows = await connection.execute(statement, {"offset": offset})
    return [_group(row, _enough(limit)) for row in rows.all()]


@lru_cache
def _statement(dialect: str, limit: int, topics: frozenset[str] | None) -> Select[Any]:
    enough = _enough(limit)
    # Cut out first: what is passed over is neither dated nor counted.
    page = _newest_groups(dialect, topics).limit(limit).offset(bindparam("offset", type_=Integer()))
    here = page.subquery("here")
    sample = _sample(dialect, here.c.one, enough).label("sample")
    top = select(here.c.one, here.c.last, _first(here.c.one), sample).cte("top")
    # Else it would find the sample once for the join and once to count.
    top = top.prefix_with("MATERIALIZED", dialect="postgresql")
    has_ids = dialect == "postgresql"
    count = func.cardinality(top.c.sample) if has_ids else _count(top.c.one, enough)
    group = [top.c.one, top.c.first, top.c.last, count.label("group_count")]
    statement = select(*LISTED[FAILURES], *group).order_by(top.c.last.desc(), top.c.one)
    return statement.join(top, ROW.id == (top.c.sample[1] if has_ids else top.c.sample))


def _enough(limit: int) -> int:
    return max(COUNTED // limit, 1)


def _newest_groups(dialect: str, topics: frozenset[str] | None) -> Select[Any]:
    found = FOUND[dialect]()
    one, last = found.c.fingerprint, _failed_last(found).label("last")
    newest = select(one.label("one"), last).where(one.is_not(None)).order_by(last.desc(), one)
    if topics is None:
        return newest
    # A fingerprint is of one topic.
    return newest.where(_newest(one, ROW.topic).limit(1).scalar_subquery().in_(topics))


def _first(one: ColumnElement[Any]) -> ColumnElement[Any]:
    # Not min() or max(): MariaDB would read the whole group for them.
    first = along(_members(one, ROW.first_failed_at), FAILURES, *GROUP, "first_failed_at")
    in_order = [constant(ROW.status), constant(ROW.fingerprint), ROW.first_failed_at]
    return first.order_by(*in_order).limit(1).scalar_subquery().label("first")


def _failed_last(found: CTE) -> ColumnElement[Any]:
    if "last_failed_at" in found.c:
        return found.c.last_failed_at
    members = _members(found.c.fingerprint, ROW.last_failed_at)
    return backwards(members, FAILURES, GROUP, "last_failed_at").limit(1).scalar_subquery()


def _jump_to_last_failures() -> CTE:
    """Go back along the index from the last failure of one fingerprint to that of the next."""

    def _last(than: ColumnElement[Any]) -> Select[Any]:
        failures = select(ROW.fingerprint, ROW.last_failed_at).where(ROW.status == "open", than)
        return failures.order_by(ROW.fingerprint.desc(), ROW.last_failed_at.desc()).limit(1)

    first = select(_last(ROW.fingerprint.is_not(None)).subquery(), literal(1).label("number"))
    found = first.cte("found", recursive=True)
    following = _last(ROW.fingerprint < found.c.fingerprint).lateral()
    step = select(following, found.c.number + 1).join_from(found, following, true())
    return found.union_all(step.where(found.c.number < GROUPS_LIMIT))


def _jump_to_fingerprints() -> CTE:
    """Go along the index from one fingerprint to the next."""

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


def _distinct_fingerprints() -> CTE:
    """Leave it to MariaDB, which jumps by itself, and does not when it is told how."""
    found = along(select(ROW.fingerprint), FAILURES, *GROUP, "last_failed_at")
    found = found.where(ROW.status == "open", ROW.fingerprint.is_not(None)).distinct()
    return found.order_by(ROW.fingerprint).limit(GROUPS_LIMIT).cte("found")


FOUND = {
    "mysql": _distinct_fingerprints,
    "postgresql": _jump_to_last_failures,
    "sqlite": _jump_to_fingerprints,
}
"""How each database finds them: LATERAL, which only PostgreSQL has, takes half the time."""


def _members(one: ColumnElement[Any], column: ColumnElement[Any]) -> Select[Any]:
    is_member = equal([ROW.status, ROW.fingerprint], [literal("open"), one])
    return select(column).where(is_member).correlate(one.table)


def _newest(one: ColumnElement[Any], column: ColumnElement[Any]) -> Select[Any]:
    return backwards(_members(one, column), FAILURES, GROUP, *ORDER)


def _sample(dialect: str, one: ColumnElement[Any], enough: int) -> ColumnElement[Any]:
    """Find a group's newest failure; on PostgreSQL, as the first of all that are counted."""
    newest = _newest(one, ROW.id)
    if dialect == "postgresql":
        # One way down the index instead of two: of 200 groups they are most of the time.
        return func.array(newest.limit(enough).scalar_subquery(), type_=ARRAY(BigInteger))
    return newest.limit(1).scalar_subquery()


def _count(one: ColumnElement[Any], enough: int) -> ColumnElement[Any]:
    """Count a group's failures, unless there are so many that counting ends."""
    last_counted = _newest(one, ROW.id).offset(enough - 1).limit(1).scalar_subquery()
    all_of_them = _members(one, func.count()).scalar_subquery()
    return case((last_counted.is_not(None), enough), else_=all_of_them)


def _group(row: Sequence[Any], enough: int) -> FailureGroup:
    sample = read(FailureRecord, row)
    fingerprint, first, last, count = row[-4:]
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
