"""What becomes of bulk operations; each status that somebody sets comes with its audit row."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson
from sqlalchemy import BigInteger, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint import plans
from app.checkpoint.claims import is_fresh, new_claim
from app.checkpoint.errors import ConflictError
from app.checkpoint.models import AUDIT, ITEMS, OPERATIONS, utcnow
from app.checkpoint.queries.operations import outcomes as count_outcomes
from app.checkpoint.queries.operations import selection, visible_operation
from app.checkpoint.records import Actor, Plan

FREE = {"claimed_by": None, "claimed_at": None}
MOST_CLAIMED = 100
"""Operations that all workers together work on at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedOperation:
    """An operation that one worker goes on with."""

    id: int
    plan: Plan
    by: Actor
    """Whoever started it, in the name of this operation."""
    claim: str = field(default_factory=new_claim)

    def actor(self, position: int) -> Actor:
        """Return who acts on one of its failures."""
        return replace(self.by, position=position)


async def start(connection: AsyncConnection, plan: Plan, by: Actor) -> int:
    """Freeze what a plan selects now, and return the id of the operation."""
    frozen = plans.dump(plan)
    row = {
        "actor": by.name,
        "request_id": by.request_id,
        "action": plan.action,
        "topics": None if by.topics is None else orjson.dumps(sorted(by.topics)).decode(),
        "plan": frozen,
        "status": "running",
        "total": 0,
    }
    primary_key: Any = (await connection.execute(insert(OPERATIONS), row)).inserted_primary_key
    operation_id: int = primary_key[0]
    total = await _freeze(connection, operation_id, plan, by)
    await connection.execute(
        update(OPERATIONS).where(OPERATIONS.c.id == operation_id).values(total=total)
    )
    after = {"status": "running", "plan": orjson.Fragment(frozen), "total": total}
    await _audit(connection, by, f"bulk_{plan.action}", operation_id, after=after)
    return operation_id


async def cancel(connection: AsyncConnection, operation_id: int, by: Actor) -> None:
    """End an operation before its next item.

    Raises:
        NotFoundError: there is none, or none that this actor may see.
        ConflictError: it has ended already.
    """
    row = await visible_operation(connection, operation_id, by, lock=True)
    if row.status != "running":
        msg = f"the operation is {row.status}"
        raise ConflictError(msg, status=row.status)
    ended = {"status": "cancelled", "finished_at": utcnow(), **FREE}
    await connection.execute(
        update(OPERATIONS).where(OPERATIONS.c.id == operation_id).values(ended)
    )
    before, after = {"status": "running"}, {"status": "cancelled"}
    await _audit(connection, by, "cancel", operation_id, before=before, after=after)


async def claim(connection: AsyncConnection) -> ClaimedOperation | None:
    """Claim the oldest operation that nobody works on; None: there is none."""
    running = select(OPERATIONS, utcnow().label("now")).where(OPERATIONS.c.status == "running")
    for row in await connection.execute(running.order_by(OPERATIONS.c.id).limit(MOST_CLAIMED)):
        if is_fresh(row.claimed_at, row.now):
            continue
        topics = None if row.topics is None else frozenset(orjson.loads(row.topics))
        by = Actor(name=row.actor, request_id=row.request_id, topics=topics, operation_id=row.id)
        claimed = ClaimedOperation(id=row.id, plan=plans.load(row.plan), by=by)
        # Of several workers that have read the same, one finds it unchanged.
        unchanged = (
            OPERATIONS.c.claimed_by.is_not_distinct_from(row.claimed_by),
            OPERATIONS.c.claimed_at.is_not_distinct_from(row.claimed_at),
        )
        result = await connection.execute(
            update(OPERATIONS)
            .where(OPERATIONS.c.id == row.id, OPERATIONS.c.status == "running", *unchanged)
            .values(claimed_by=claimed.claim, claimed_at=utcnow())
        )
        if result.rowcount:
            return claimed
    return None


async def renew(connection: AsyncConnection, claimed: ClaimedOperation) -> None:
    """Say that the operation is still worked on."""
    await _update(connection, claimed, {"claimed_at": utcnow()})


async def release(connection: AsyncConnection, claimed: ClaimedOperation) -> None:
    """Leave an operation to another worker, unless it has ended."""
    await _update(connection, claimed, FREE)


async def pass_over(connection: AsyncConnection, claimed: ClaimedOperation, position: int) -> None:
    """Put down that there was nothing to be done about a failure."""
    await connection.execute(
        update(ITEMS)
        .where(ITEMS.c.operation_id == claimed.id, ITEMS.c.position == position)
        .where(ITEMS.c.outcome.is_(None))
        .values(outcome="passed over")
    )


async def end(
    connection: AsyncConnection,
    claimed: ClaimedOperation,
    status: Literal["finished", "stopped"],
    reason: str | None = None,
) -> None:
    """End an operation, unless the claim is lost: then it is for others to say."""
    # Counted once: who looks at many operations that have ended would count all their items again.
    outcomes = orjson.dumps(await count_outcomes(connection, claimed.id)).decode()
    ended = {"status": status, "reason": reason, "outcomes": outcomes, "finished_at": utcnow()}
    await _update(connection, claimed, {**ended, **FREE})


async def _freeze(connection: AsyncConnection, operation_id: int, plan: Plan, by: Actor) -> int:
    selected = selection(plan, by).subquery()
    position = func.row_number().over(order_by=selected.c.id) - 1
    items = select(literal(operation_id, BigInteger), position, selected.c.id)
    columns = ["operation_id", "position", "failure_id"]
    result = await connection.execute(insert(ITEMS).from_select(columns, items))
    return result.rowcount


async def _update(
    connection: AsyncConnection, claimed: ClaimedOperation, values: dict[str, Any]
) -> None:
    await connection.execute(
        update(OPERATIONS)
        .where(OPERATIONS.c.id == claimed.id, OPERATIONS.c.status == "running")
        .where(OPERATIONS.c.claimed_by == claimed.claim)
        .values(values)
    )


async def _audit(
    connection: AsyncConnection,
    by: Actor,
    action: str,
    operation_id: int,
    **changed: dict[str, Any],
) -> None:
    values = {
        "actor": by.name,
        "request_id": by.request_id,
        "action": action,
        "subject": "operation",
        "subject_id": operation_id,
        **{name: orjson.dumps(state).decode() for name, state in changed.items()},
    }
    await connection.execute(insert(AUDIT), values)
