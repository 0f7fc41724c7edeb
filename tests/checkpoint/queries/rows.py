"""Rows as they may be stored, each told apart by its id."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import delete, insert

from app.checkpoint import Reader
from app.checkpoint.database import Database
from app.checkpoint.models import AuditRow, EventRow, FailureRow, sort_key

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)

NOW = "now"
"""Stands for the time at which the rows are stored."""

Row: TypeAlias = dict[str, Any]


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Reader]:
    """Open a reader of a database."""
    reader = Reader(url)
    try:
        yield reader
    finally:
        await reader.close()


def event(number: int, **fields: Any) -> Row:
    """Return the row of an event whose id is the number."""
    row = {
        "id": number,
        "identity": number.to_bytes(16, "big"),
        "agent": "orders",
        "topic": "orders",
        "group_id": "service",
        "partition": 0,
        "offset": number,
        "key": None,
        "entity_id": None,
        "event_time": None,
        "event_type": None,
        "event_version": None,
        "checksum": None,
        "payload": None,
        "payload_raw": None,
        **fields,
    }
    return {**row, "sort_key": sort_key(row["event_time"])}


def failure(number: int, **fields: Any) -> Row:
    """Return the row of a failure whose id is the number."""
    row = {
        "origin": '{"headers": [], "timestamp": null}',
        "error_class": "KeyError",
        "error_message": f"message {number}",
        "error_backtrace": "[]",
        "attempts": 6,
        "first_failed_at": NOON,
        "last_failed_at": NOON + timedelta(seconds=number),
        "edited": None,
        "fingerprint": bytes(16),
        "status": "open",
        "claimed_at": None,
        **event(number, **fields),
    }
    open_key = row["identity"] if row["status"] == "open" else None
    return {**row, "metadata": row.pop("origin"), "open_key": open_key}


def act(number: int, **fields: Any) -> Row:
    """Return the row of what somebody did, whose id is the number."""
    return {
        "id": number,
        "actor": "ann",
        "request_id": f"request-{number}",
        "action": "retry",
        "subject": "failure",
        "subject_id": number,
        "topic": "orders",
        "before": '{"status": "open"}',
        "after": None,
        **fields,
    }


async def store(
    tables: Database,
    *,
    events: list[Row] | None = None,
    failures: list[Row] | None = None,
    acts: list[Row] | None = None,
) -> None:
    """Have these rows in the tables, and no others."""
    given: dict[Any, list[Row] | None] = {EventRow: events, FailureRow: failures, AuditRow: acts}
    now = {"claimed_at": datetime.now(UTC)}
    async with tables.engine.begin() as connection:
        for model, rows in given.items():
            await connection.execute(delete(model))
            stored = [row | now if row.get("claimed_at") == NOW else row for row in rows or []]
            if stored:
                await connection.execute(insert(model), stored)
