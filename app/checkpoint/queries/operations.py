"""Bulk operations: what they select, and how far they are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint import plans
from app.checkpoint.errors import NotFoundError
from app.checkpoint.models import FAILURES, ITEMS, OPERATIONS
from app.checkpoint.queries.filters import failure_conditions, shape_of, values_of
from app.checkpoint.queries.rows import LISTED, read
from app.checkpoint.records import Actor, Count, FailureRecord, Operation, Plan

LOOKED_THROUGH = 1_000
"""Newest operations among which those that an actor may see are looked for."""


class Item(NamedTuple):
    """A failure of an operation that is not taken up yet."""

    position: int
    failure_id: int


def selection(plan: Plan, by: Actor, *, limit: int | None = None) -> Select[tuple[int]]:
    """Return the statement for the ids of the open failures that a plan means, oldest first."""
    statement = select(FAILURES.c.id).where(FAILURES.c.status == "open")
    statement = statement.where(*failure_conditions(shape_of(plan.filter)).values())
    statement = statement.params(values_of(plan.filter))
    if plan.ids is not None:
        statement = statement.where(FAILURES.c.id.in_(plan.ids))
    if by.topics is not None:
        statement = statement.where(FAILURES.c.topic.in_(by.topics))
    return statement.order_by(FAILURES.c.id).limit(plan.limit if limit is None else limit)


async def count_selected(connection: AsyncConnection, plan: Plan, by: Actor) -> Count:
    """Return how many failures a plan would select now."""
    selected = selection(plan, by, limit=plan.limit + 1).subquery()
    count = await connection.scalar(select(func.count()).select_from(selected)) or 0
    return Count(count=min(count, plan.limit), capped=count > plan.limit)


async def sample(
    connection: AsyncConnection, plan: Plan, by: Actor, *, limit: int
) -> list[FailureRecord]:
    """Return the oldest failures that a plan would select now; large payloads are left out."""
    ids = selection(plan, by, limit=min(limit, plan.limit)).subquery()
    statement = select(*LISTED[FAILURES]).join(ids, ids.c.id == FAILURES.c.id)
    rows = await connection.execute(statement.order_by(FAILURES.c.id))
    return [read(FailureRecord, row) for row in rows]


async def next_item(connection: AsyncConnection, operation_id: int, claim: str) -> Item | None:
    """Return the next item, as long as this claim holds: it ends with the operation."""
    rows = await connection.execute(
        select(ITEMS.c.position, ITEMS.c.failure_id)
        .join(OPERATIONS, OPERATIONS.c.id == ITEMS.c.operation_id)
        .where(OPERATIONS.c.id == operation_id, OPERATIONS.c.claimed_by == claim)
        .where(ITEMS.c.outcome.is_(None))
        .order_by(ITEMS.c.position)
        .limit(1)
    )
    row = rows.one_or_none()
    return row and Item(*row)


async def outcomes(
    connection: AsyncConnection, operation_id: int, *, since: int = 0
) -> dict[str, int]:
    """Return how many items, from a position on, had which outcome."""
    counted = await connection.execute(
        select(ITEMS.c.outcome, func.count())
        .where(ITEMS.c.operation_id == operation_id, ITEMS.c.position >= since)
        .where(ITEMS.c.outcome.is_not(None))
        .group_by(ITEMS.c.outcome)
    )
    return {outcome: items for outcome, items in counted}  # noqa: C416 - a row is no pair to mypy


async def visible_operation(
    connection: AsyncConnection, operation_id: int, by: Actor, *, lock: bool = False
) -> Row[Any]:
    """Return the row of an operation, for an update or only to be read.

    Raises:
        NotFoundError: there is none, or none that this actor may see.
    """
    statement = select(OPERATIONS).where(OPERATIONS.c.id == operation_id)
    row = (
        await connection.execute(statement.with_for_update() if lock else statement)
    ).one_or_none()
    if row is None or not _may_see(row.topics, by):
        msg = "operation not found"
        raise NotFoundError(msg)
    return row


async def operation(connection: AsyncConnection, operation_id: int, by: Actor) -> Operation:
    """Return an operation and how far it is.

    Raises:
        NotFoundError: there is none, or none that this actor may see.
    """
    row = await visible_operation(connection, operation_id, by)
    [told] = await _tell(connection, [row])
    return told


async def latest(connection: AsyncConnection, by: Actor, *, limit: int) -> list[Operation]:
    """Return the operations that an actor may see, newest first."""
    newest_first = OPERATIONS.c.id.desc()
    newest = select(OPERATIONS.c.id, OPERATIONS.c.topics).order_by(newest_first)
    scopes = await connection.execute(newest.limit(LOOKED_THROUGH))
    ids = [row.id for row in scopes if _may_see(row.topics, by)][:limit]
    visible = select(OPERATIONS).where(OPERATIONS.c.id.in_(ids)).order_by(newest_first)
    return await _tell(connection, (await connection.execute(visible)).all())


async def _tell(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[Operation]:
    counts: dict[int, dict[str, int]] = {
        row.id: {} if row.outcomes is None else orjson.loads(row.outcomes) for row in rows
    }
    going_on = [row.id for row in rows if row.outcomes is None]
    counted = await connection.execute(
        select(ITEMS.c.operation_id, ITEMS.c.outcome, func.count())
        .where(ITEMS.c.operation_id.in_(going_on), ITEMS.c.outcome.is_not(None))
        .group_by(ITEMS.c.operation_id, ITEMS.c.outcome)
    )
    for operation_id, outcome, items in counted:
        counts[operation_id][outcome] = items
    return [_operation(row, counts[row.id]) for row in rows]


def _may_see(topics: str | None, by: Actor) -> bool:
    """Return whether an operation was started by somebody who sees no more than this actor."""
    return by.topics is None or (topics is not None and by.topics.issuperset(orjson.loads(topics)))


def _operation(row: Row[Any], done: dict[str, int]) -> Operation:
    return Operation(
        id=row.id,
        created_at=row.created_at,
        actor=row.actor,
        plan=plans.load(row.plan),
        status=row.status,
        reason=row.reason,
        total=row.total,
        outcomes=done,
        finished_at=row.finished_at,
    )
