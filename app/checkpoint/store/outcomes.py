"""What becomes of the events of a stream."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Insert, case, delete, insert, or_, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint import failures
from app.checkpoint.attempts import FailedAttempt, Handler
from app.checkpoint.database import is_misfit, is_outage
from app.checkpoint.events import Event
from app.checkpoint.models import (
    EVENTS,
    FAILURES,
    TABLES,
    EventRow,
    FailureRow,
    sort_key,
)
from app.checkpoint.outcomes import Ack, Skip
from app.checkpoint.queries import Known
from app.checkpoint.store import packets

Row = dict[str, Any]
EVENT_COLUMNS = (
    "identity",
    "agent",
    "topic",
    "group_id",
    "partition",
    "offset",
    "key",
    "entity_id",
    "event_time",
    "event_type",
    "event_version",
    "checksum",
    "payload",
    "payload_raw",
    "sort_key",
)
"""All but those that the database fills in."""


@dataclass(slots=True)
class Outcomes:
    """What became of the events of one batch, each kind in offset order."""

    acked: list[tuple[Event, Ack]] = field(default_factory=list)
    skipped: list[Event] = field(default_factory=list)
    duplicates: list[Event] = field(default_factory=list)
    failed: list[FailedAttempt] = field(default_factory=list)
    resolved: list[bytes] = field(default_factory=list)
    """Identities whose open failure is settled by a success."""

    def succeeded(self, event: Event, answer: Ack | Skip, known: Known) -> None:
        """Add an event whose handler answered; its twins in the batch will find it known."""
        if isinstance(answer, Ack):
            self.acked.append((event, answer))
            known.recorded.add(event.identity)
        else:
            self.skipped.append(event)
        if event.identity in known.failures:
            self.resolved.append(event.identity)

    def __bool__(self) -> bool:
        """Return whether there is anything to write."""
        return bool(self.acked or self.failed or self.resolved)


async def record(
    connection: AsyncConnection, handler: Handler, outcomes: Outcomes, *, all_new: bool = False
) -> None:
    """Write the outcomes of one batch: the unique identity decides which event row is there first.

    Raises:
        IntegrityError: with `all_new`, one of the event rows is there; without, it stays as it is.
    """
    if outcomes.acked:
        rows = event_values(handler, outcomes)
        await _insert_events(connection, rows, all_new=all_new)
    if outcomes.resolved:
        await _resolve_failures(connection, outcomes.resolved)
    if outcomes.failed:
        await _save_failures(connection, [_failure_row(handler, each) for each in outcomes.failed])


def event_values(handler: Handler, outcomes: Outcomes) -> list[tuple[Any, ...]]:
    """Return the values of `EVENT_COLUMNS` for each event that was acknowledged."""
    # What the default decoder has taken is JSON: no need to parse it again.
    is_json = handler.options.decode is orjson.loads
    return [_event_values(handler, event, ack, is_json=is_json) for event, ack in outcomes.acked]


async def clear(connection: AsyncConnection) -> None:
    """Empty all tables: the topics that the events came from are gone too."""
    for table in TABLES:
        await connection.execute(delete(table))


async def _insert_events(
    connection: AsyncConnection, values: list[tuple[Any, ...]], *, all_new: bool
) -> None:
    dialect = connection.dialect.name
    if dialect == "postgresql":
        arrays = tuple(list(column) for column in zip(*values, strict=True))
        await connection.exec_driver_sql(_insert_events_postgresql(all_new=all_new), arrays)
        return
    rows = [_row(of_event) for of_event in values]
    if dialect == "mysql":
        for row in rows:
            await packets.check_size(connection, row)
    await connection.execute(_insert_events_statement(dialect, all_new=all_new), rows)


@cache
def _insert_events_statement(dialect: str, *, all_new: bool) -> Insert:
    if all_new:
        return insert(EventRow)
    if dialect == "sqlite":
        return sqlite.insert(EventRow).on_conflict_do_nothing(index_elements=["identity"])
    # Not INSERT IGNORE: that would also swallow values that do not fit.
    return mysql.insert(EventRow).on_duplicate_key_update(id=EventRow.id)


@cache
def _insert_events_postgresql(*, all_new: bool) -> str:
    # One array per column: a tenth of the cost of 500 rows of separate parameters.
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    arrays = [
        f"${position}::{EVENTS.c[name].type.compile(dialect)}[]"
        for position, name in enumerate(EVENT_COLUMNS, start=1)
    ]
    columns = ", ".join(f'"{name}"' for name in EVENT_COLUMNS)
    return (
        f"INSERT INTO {EVENTS.name} ({columns})"  # noqa: S608 - names of our own, no values
        f" SELECT * FROM unnest({', '.join(arrays)})"
        f"{'' if all_new else ' ON CONFLICT (identity) DO NOTHING'}"
    )


async def _resolve_failures(connection: AsyncConnection, identities: list[bytes]) -> None:
    await connection.execute(
        update(FailureRow)
        .where(FailureRow.open_key.in_(identities))
        .values(status="resolved", open_key=None)
    )


async def _save_failures(connection: AsyncConnection, rows: list[Row]) -> None:
    if connection.dialect.name != "postgresql":
        for row in rows:
            await _save_failure(connection, await _that_fits(connection, row))
        return
    try:
        async with connection.begin_nested():
            for row in rows:
                await _save_failure(connection, row)
    except DBAPIError as error:
        if is_outage(error) or is_misfit(error):
            raise
        # Its `json` may refuse what the decoder took, by its depth for one. Bytes it always takes.
        for row in rows:
            await _save_failure(connection, row | _as_bytes(row["payload"], row["payload_raw"]))


async def _that_fits(connection: AsyncConnection, row: Row) -> Row:
    """Return a row of a failure, without its payload if the server does not take it with it."""
    if connection.dialect.name != "mysql":
        return row
    try:
        await packets.check_size(connection, row)
    except packets.TooLargeError:
        # No other row could hold it either: it stays with the broker, and the checksum tells of it.
        return row | {"payload": None, "payload_raw": None}
    return row


def _as_bytes(payload: str | None, raw: bytes | None) -> Row:
    return {"payload": None, "payload_raw": raw if payload is None else payload.encode()}


async def _save_failure(connection: AsyncConnection, row: Row) -> None:
    dialect = connection.dialect.name
    if dialect == "mysql":
        statement = mysql.insert(FAILURES)
        again = _again(statement.inserted)
        await connection.execute(statement.on_duplicate_key_update(again), row)
    else:
        upsert = (postgresql if dialect == "postgresql" else sqlite).insert(FAILURES)
        new = dict(_again(upsert.excluded))
        await connection.execute(
            upsert.on_conflict_do_update(index_elements=["open_key"], set_=new), row
        )


def _again(new: Any) -> list[tuple[str, Any]]:
    """Return what an open failure takes over from the same event failing once more.

    Recording the same failure twice, because the reply to a COMMIT was lost, counts once. The
    counters stand first: MariaDB assigns from left to right, and would compare new coordinates with
    new ones.
    """
    elsewhere = or_(FAILURES.c.partition != new.partition, FAILURES.c.offset != new.offset)
    counted = [
        ("occurrences", FAILURES.c.occurrences + case((elsewhere, 1), else_=0)),
        ("attempts", FAILURES.c.attempts + case((elsewhere, new.attempts), else_=0)),
    ]
    kept = {"id", "identity", "open_key", "agent", "created_at", "first_failed_at", "status"}
    kept |= {"claimed_by", "claimed_at", "occurrences", "attempts", "edited"}
    return counted + [(name, new[name]) for name in FAILURES.c.keys() if name not in kept]  # noqa: SIM118


def _event_values(
    handler: Handler, event: Event, ack: Ack | None, *, is_json: bool = False
) -> tuple[Any, ...]:
    """Return the values of `EVENT_COLUMNS`."""
    record = event.record
    payload, raw = _payload(record.value, is_json=is_json)
    entity_id = event_time = event_type = event_version = None
    if ack is not None:
        entity_id, event_time = ack.entity_id, ack.event_time
        event_type, event_version = ack.event_type, ack.event_version
    return (
        event.identity,
        handler.agent,
        record.topic,
        handler.group_id,
        record.partition,
        record.offset,
        record.key,
        entity_id,
        event_time,
        event_type,
        event_version,
        event.checksum,
        payload,
        raw,
        sort_key(event_time),
    )


def _failure_row(handler: Handler, failed: FailedAttempt) -> Row:
    row = _row(_event_values(handler, failed.event, handler.describe(failed)))
    metadata = failed.metadata
    return (
        row
        | error_columns(handler, failed)
        | {
            "metadata": failures.origin(metadata.headers, metadata.timestamp),
            "attempts": metadata.attempt,
            "first_failed_at": failed.first_failed_at,
            "last_failed_at": failed.last_failed_at,
            "status": "open",
            "open_key": failed.event.identity,
            "occurrences": 1,
        }
    )


def error_columns(handler: Handler, failed: FailedAttempt) -> Row:
    """Return what is put down of the error that ended an attempt."""
    error = failed.error
    return {
        "error_class": failures.error_class(error),
        "error_message": failures.error_message(error),
        "error_backtrace": failures.error_backtrace(error),
        "fingerprint": handler.fingerprint(error, failed.metadata.topic),
    }


def _row(values: tuple[Any, ...]) -> Row:
    return dict(zip(EVENT_COLUMNS, values, strict=True))


def _payload(value: bytes | None, *, is_json: bool) -> tuple[str | None, bytes | None]:
    """Return a raw value as exact JSON text, else as bytes: not JSON that every database takes."""
    if value is None:
        return None, None
    if not is_json:
        try:
            orjson.loads(value)
        except orjson.JSONDecodeError:
            return None, value
    return value.decode(), None
