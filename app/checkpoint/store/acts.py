"""What an operator does to events and failures, each act together with its audit row."""

from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.attempts import FailedAttempt, Handler
from app.checkpoint.claims import MAX_STARTS, is_fresh, new_claim
from app.checkpoint.errors import ConflictError, NotFoundError, ProcessDiedError
from app.checkpoint.models import AUDIT, EVENTS, FAILURES, ITEMS, utcnow
from app.checkpoint.records import Actor, Outcome
from app.checkpoint.store.outcomes import error_columns

BEFORE = ("status", "attempts", "error_class", "error_message")
"""What an act may change, as the audit shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A failure that is being retried."""

    row: Row[Any]
    """As it was before."""
    by: Actor
    edited: bytes | None
    """The value to run with instead of the event's own."""
    claim: str = field(default_factory=new_claim)


async def find_event(connection: AsyncConnection, event_id: int, by: Actor) -> Row[Any]:
    """Return the row of an event.

    Raises:
        NotFoundError: there is none, or none that this actor may see.
    """
    row = (await connection.execute(select(EVENTS).where(EVENTS.c.id == event_id))).one_or_none()
    return _visible(row, "event", by)


async def find_failure(connection: AsyncConnection, failure_id: int, by: Actor) -> Row[Any]:
    """Return the row of a failure, whatever its status.

    Raises:
        NotFoundError: there is none, or none that this actor may see.
    """
    statement = select(FAILURES).where(FAILURES.c.id == failure_id)
    return _visible((await connection.execute(statement)).one_or_none(), "failure", by)


async def claim(
    connection: AsyncConnection, failure_id: int, by: Actor, *, edited: bytes | None
) -> Claimed:
    """Claim a failure for one retry; of several at once, one gets it.

    Raises:
        NotFoundError: there is none, or none that this actor may see.
        ConflictError: it is resolved or discarded, or another retry of it runs.
        ProcessDiedError: in an operation, its retry has ended the process again and again.
    """
    row = await _open_failure(connection, failure_id, by)
    if by.operation_id is not None:
        await _begin_item(connection, by)
    claimed = Claimed(row=row, by=by, edited=edited)
    values = {"claimed_by": claimed.claim, "claimed_at": utcnow()}
    await connection.execute(update(FAILURES).where(FAILURES.c.id == failure_id).values(values))
    return claimed


async def renew(connection: AsyncConnection, claimed: Claimed) -> None:
    """Say that the retry still runs."""
    values = {"claimed_at": utcnow()}
    await connection.execute(update(FAILURES).where(*_is(claimed)).values(values))


async def release(connection: AsyncConnection, claimed: Claimed) -> None:
    """Give up a claim, unless it has ended with the retry."""
    if await _end(connection, claimed, {}) and claimed.by.operation_id is not None:
        # Nothing has come of it, but the process lives.
        item = update(ITEMS).where(*_item(claimed.by))
        await connection.execute(item.values(starts=ITEMS.c.starts - 1))


async def resolve(connection: AsyncConnection, claimed: Claimed, outcome: Outcome) -> None:
    """Settle a failure whose retry has succeeded; all that is known of it is kept.

    Raises:
        ConflictError: the claim was lost, because the stream or another retry was first.
    """
    values = {"status": "resolved", "open_key": None}
    if not await _end(connection, claimed, values):
        by_id = select(FAILURES.c.status).where(FAILURES.c.id == claimed.row.id)
        status = await connection.scalar(by_id)
        _refuse("retrying" if status == "open" else str(status))
    after = {"status": "resolved", "outcome": outcome, **_edited(claimed)}
    await audit(connection, claimed.by, "retry", claimed.row, after)


async def fail_again(
    connection: AsyncConnection, claimed: Claimed, handler: Handler, failed: FailedAttempt
) -> None:
    """Put down what a retry raised; the failure stays open."""
    columns = error_columns(handler, failed)
    attempts = claimed.row.attempts + failed.metadata.attempt
    values = {"attempts": attempts, "last_failed_at": failed.last_failed_at, **columns}
    held = await _end(connection, claimed, values)
    told = {name: columns[name] for name in ("error_class", "error_message")}
    after = {"outcome": "failed", "attempts": attempts, **told, **_edited(claimed)}
    if held:
        after["status"] = "open"
    await audit(connection, claimed.by, "retry", claimed.row, after)


async def discard(
    connection: AsyncConnection, failure_id: int, by: Actor, *, reason: str | None
) -> None:
    """Settle a failure without handling its event; all that is known of it is kept.

    Raises:
        NotFoundError: there is none, or none that this actor may see.
        ConflictError: it is resolved or discarded, or a retry of it runs.
    """
    row = await _open_failure(connection, failure_id, by)
    values = {"status": "discarded", "open_key": None, "claimed_by": None, "claimed_at": None}
    await connection.execute(update(FAILURES).where(FAILURES.c.id == failure_id).values(values))
    after = {"status": "discarded", "outcome": "discarded", "reason": reason}
    await audit(connection, by, "discard", row, after)


async def audit(
    connection: AsyncConnection, by: Actor, action: str, row: Row[Any], after: dict[str, Any]
) -> None:
    """Put down who did what to an event or a failure, and that an operation is past this item."""
    subject = "failure" if "status" in row._fields else "event"
    before = {name: getattr(row, name) for name in BEFORE if name in row._fields}
    values = {
        "actor": by.name,
        "request_id": by.request_id,
        "action": action,
        "subject": subject,
        "subject_id": row.id,
        "operation_id": by.operation_id,
        "topic": row.topic,
        "before": orjson.dumps(before).decode(),
        "after": orjson.dumps(after).decode(),
    }
    await connection.execute(insert(AUDIT), values)
    if by.operation_id is not None:
        ended = update(ITEMS).where(*_item(by), ITEMS.c.outcome.is_(None))
        await connection.execute(ended.values(outcome=after["outcome"]))


async def _begin_item(connection: AsyncConnection, by: Actor) -> None:
    starts = await connection.scalar(select(ITEMS.c.starts).where(*_item(by)))
    if starts is not None and starts >= MAX_STARTS:
        # Another worker would go on with the operation, and end at the same item.
        raise ProcessDiedError(starts)
    await connection.execute(update(ITEMS).where(*_item(by)).values(starts=ITEMS.c.starts + 1))


def _item(by: Actor) -> tuple[Any, ...]:
    return ITEMS.c.operation_id == by.operation_id, ITEMS.c.position == by.position


async def _open_failure(connection: AsyncConnection, failure_id: int, by: Actor) -> Row[Any]:
    statement = select(FAILURES, utcnow().label("now")).where(FAILURES.c.id == failure_id)
    row = (await connection.execute(statement.with_for_update())).one_or_none()
    row = _visible(row, "failure", by)
    if row.status != "open":
        _refuse(row.status)
    if is_fresh(row.claimed_at, row.now):
        _refuse("retrying")
    return row


def _visible(row: Row[Any] | None, subject: str, by: Actor) -> Row[Any]:
    if row is None or (by.topics is not None and row.topic not in by.topics):
        msg = f"{subject} not found"
        raise NotFoundError(msg)
    return row


def _refuse(status: str) -> None:
    msg = "a retry of this failure runs" if status == "retrying" else f"the failure is {status}"
    raise ConflictError(msg, status=status)


def _is(claimed: Claimed) -> tuple[Any, ...]:
    # The stream settles a claimed failure when the same event, sent anew, succeeds.
    is_open = FAILURES.c.status == "open"
    return FAILURES.c.id == claimed.row.id, FAILURES.c.claimed_by == claimed.claim, is_open


async def _end(connection: AsyncConnection, claimed: Claimed, values: dict[str, Any]) -> int:
    ended = {**values, "claimed_by": None, "claimed_at": None}
    if claimed.edited is not None:
        ended["edited"] = claimed.edited
    result = await connection.execute(update(FAILURES).where(*_is(claimed)).values(ended))
    return result.rowcount


def _edited(claimed: Claimed) -> dict[str, Any]:
    return {} if claimed.edited is None else {"edited": True}
