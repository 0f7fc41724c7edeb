"""Large tables: as many rows as asked for, the same in every run, made by the database itself."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Table, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.checkpoint import Model, Plan, plans
from app.checkpoint.database import async_url
from app.checkpoint.models import NO_TIME, EventRow, FailureRow, OperationRow
from benchmarks.orders import orders

EVENTS: Table = EventRow.__table__  # type: ignore[assignment]
FAILURES: Table = FailureRow.__table__  # type: ignore[assignment]

CHUNK = 200_000
"""Rows of one statement."""
WRITERS = 2
"""Statements that run at a time."""
RARE_ROWS = 10
"""Rows that have each rare value."""
OPERATIONS = 30
ITEMS = 10_000
"""Failures of each bulk operation."""

STATE = orjson.dumps({"status": "open", "attempts": 6, "error_class": "app.errors.Error1"}).decode()
SAID: dict[str, str] = {
    "payload": next(value for _, value in orders(1)).decode(),
    "origin": orjson.dumps({"headers": [["trace", "0" * 32]], "timestamp": 1.0}).decode(),
    "backtrace": orjson.dumps(
        [f"/srv/app/orders.py:{line} in step_{line}: await step_{line}(order)" for line in range(9)]
    ).decode(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many rows there are."""

    events: int
    failures: int


async def seed(database_url: str, size: Size) -> None:
    """Make the tables and fill them."""
    engine = create_async_engine(async_url(database_url))
    try:
        await _seed(engine, size)
    finally:
        await engine.dispose()


async def _seed(engine: AsyncEngine, size: Size) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(_create_tables)
    each = size.events // size.failures
    entities = max(size.events // 10, 1)
    shared = {"entities": entities, "no_time": NO_TIME}
    await _fill(engine, "events", size.events, shared)
    await _fill(engine, "failures", size.failures, shared | {"events_each": each})
    await _execute(engine, "audit", before=STATE, after=STATE)
    async with engine.begin() as connection:
        await connection.execute(insert(OperationRow), [_operation()] * OPERATIONS)
    await _execute(engine, "items", operations=OPERATIONS, each=ITEMS, failures=size.failures)
    await _finish(engine)


def _create_tables(connection: Connection) -> None:
    Model.metadata.create_all(connection)
    for table in (EVENTS, FAILURES):
        for index in table.indexes:
            # Made at the end, each takes seconds; kept up row by row, minutes.
            index.drop(connection)


async def _fill(engine: AsyncEngine, name: str, rows: int, shared: Mapping[str, Any]) -> None:
    turn = asyncio.Semaphore(WRITERS)
    rare = max(rows // RARE_ROWS, 1)

    async def fill(first: int) -> None:
        last = min(first + CHUNK - 1, rows)
        async with turn:
            await _execute(engine, name, **shared, rows=rows, rare=rare, first=first, last=last)

    await asyncio.gather(*[fill(first) for first in range(1, rows + 1, CHUNK)])


async def _execute(engine: AsyncEngine, name: str, **values: Any) -> None:
    statement = text(Path(__file__).with_name(f"{name}.sql").read_text())
    known = SAID | values
    wanted = {key: known[key] for key in statement.compile().params}
    async with engine.begin() as connection:
        # The same chances in every run.
        await connection.execute(select(func.setseed(values.get("first", 0) / 2**40)))
        await connection.execute(statement, wanted)


def _operation() -> dict[str, Any]:
    plan = plans.dump(Plan(action="retry", limit=ITEMS))
    return {
        "actor": "ops",
        "request_id": "seed",
        "action": "retry",
        "plan": plan,
        "status": "finished",
        "outcomes": orjson.dumps(
            {"failed": ITEMS // 20, "acknowledged": ITEMS - ITEMS // 20}
        ).decode(),
        "total": ITEMS,
    }


async def _finish(engine: AsyncEngine) -> None:
    memory = text("SET maintenance_work_mem = '1GB'")
    for table in (EVENTS, FAILURES):
        for index in table.indexes:
            async with engine.begin() as connection:
                await connection.execute(memory)
                await connection.run_sync(index.create)
        async with engine.begin() as connection:
            sequence = func.pg_get_serial_sequence(table.name, "id")
            newest = select(func.max(table.c.id)).scalar_subquery()
            await connection.execute(select(func.setval(sequence, newest)))
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("VACUUM (ANALYZE)"))
        await connection.execute(text("CHECKPOINT"))
