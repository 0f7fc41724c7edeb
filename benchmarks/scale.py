"""Whether large tables slow a worker down: `uv run python -m benchmarks.scale`."""

import asyncio
import json
import time
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.checkpoint.database import async_url
from app.checkpoint.models import EVENTS, Model
from benchmarks import results
from benchmarks.cases import Case, worker
from benchmarks.orders import orders
from benchmarks.rounds import Rounds
from benchmarks.runs import Measurement
from benchmarks.servers import LARGE, started
from tests.servers import Kafka, PostgreSQL

CHUNK = 500_000
"""Rows of one statement."""
WRITERS = 2
"""Statements that run at a time."""
STEPS = [10_000_000, 20_000_000, 30_000_000]
DATABASES = ("empty", "grown")
FILL_FACTOR = 70
"""Percent: so full are pages of an index whose rows came in no order, one by one."""
WARM_UP = 3
"""Runs at each size that do not count: what they touch is in memory afterwards, and in the log."""


class Growth:
    """A table that grows step by step, beside one that is empty at the start of each run."""

    def __init__(self, postgresql: PostgreSQL, kafka: Kafka, *, events: int, folder: Path) -> None:
        # As administrator: nobody else may tell the database to make a checkpoint.
        server = f"postgresql://{postgresql.administrator}@127.0.0.1:{postgresql.port}"
        self._urls = {name: f"{server}/{name}" for name in DATABASES}
        self._postgresql = postgresql
        self._events = events
        self._bench = Rounds(kafka, self._urls, events=events, folder=folder)

    async def grow(self, size: int) -> None:
        """Have at least so many rows in the table that grows."""
        engine = create_async_engine(async_url(self._urls["grown"]))
        try:
            async with engine.begin() as connection:
                await connection.run_sync(Model.metadata.create_all)
                rows = await connection.scalar(select(func.max(EVENTS.c.id))) or 0
            if rows < size:
                await _fill(engine, rows + 1, size)
        finally:
            await engine.dispose()

    async def compare(self, size: int, rounds: int) -> dict[str, list[Measurement]]:
        """Return the measurements at zero and at this size, one of each a round."""
        empty, grown = _cases(size)
        await self._bench.run([grown], WARM_UP)
        return await self._bench.run([empty, grown], rounds)

    async def logged(self, size: int) -> dict[str, float]:
        """Return the bytes that the database logs for an event.

        At zero, at this size, and there just behind a checkpoint of the database: whatever is
        touched first then is logged as a whole page.
        """
        found: dict[str, float] = {}
        empty, grown = _cases(size)
        behind = replace(grown, name=f"{grown.name} behind a checkpoint", writes_out=True)
        for case in (empty, grown, behind):
            before = self._written()
            await self._bench.run([case], rounds=1)
            found[case.name] = round((self._written() - before) / self._events)
        return found

    def _written(self) -> int:
        [(position,)] = self._postgresql.execute("SELECT pg_current_wal_lsn() - '0/0'")
        return int(str(position))


def _cases(size: int) -> tuple[Case, Case]:
    command = worker("checkpoint")
    return (
        Case(name="0", command=command, database="empty", writes_out=False),
        Case(name=f"{size:,}", command=command, database="grown", empties=False, writes_out=False),
    )


async def _fill(engine: AsyncEngine, first: int, last: int) -> None:
    turn = asyncio.Semaphore(WRITERS)
    statement = text(Path(__file__).with_suffix(".sql").read_text())
    payload = next(value for _, value in orders(1)).decode()

    async def fill(begin: int) -> None:
        end = min(begin + CHUNK - 1, last)
        async with turn, engine.begin() as connection:
            await connection.execute(statement, {"first": begin, "last": end, "payload": payload})

    async with engine.begin() as connection:
        await connection.run_sync(_drop_indexes)
    await asyncio.gather(*[fill(begin) for begin in range(first, last + 1, CHUNK)])
    for index in EVENTS.indexes:
        # Made at the end, each takes a minute; kept up row by row, much longer.
        index.dialect_options["postgresql"]["with"] = {"fillfactor": FILL_FACTOR}
        async with engine.begin() as connection:
            await connection.execute(text("SET maintenance_work_mem = '1GB'"))
            await connection.run_sync(index.create)
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("VACUUM (ANALYZE)"))


def _drop_indexes(connection: Connection) -> None:
    for index in EVENTS.indexes:
        index.drop(connection)


def main() -> None:
    """Print a table of each step and, last, the line of JSON."""
    asked = _arguments()
    told: dict[str, object] = {}
    with started(asked.keep, LARGE) as servers:
        told["machine"] = servers.machine
        print(f"\n{told['machine']}\n{asked.rounds} rounds of {asked.events:,} events", flush=True)
        _create_databases(servers.postgresql)
        growth = Growth(
            servers.postgresql, servers.kafka, events=asked.events, folder=servers.folder
        )
        for size in asked.rows:
            told[f"{size}"] = asyncio.run(_step(growth, size, asked.rounds))
        if asked.keep:
            # In order: what is kept must not have to be recovered.
            servers.postgresql.stop()
    print(f"\n{json.dumps(told)}")


async def _step(growth: Growth, size: int, rounds: int) -> dict[str, object]:
    started = time.monotonic()
    await growth.grow(size)
    print(f"\n{size:,} rows after {time.monotonic() - started:.0f} s", flush=True)
    measured = await growth.compare(size, rounds)
    print(results.table(measured), flush=True)
    logged = await growth.logged(size)
    print(f"bytes logged for an event: {logged}", flush=True)
    return {"cases": results.summary(measured), "bytes_logged": logged}


def _create_databases(postgresql: PostgreSQL) -> None:
    there = {name for (name,) in postgresql.execute("SELECT datname FROM pg_database")}
    for name in DATABASES:
        if name not in there:
            postgresql.execute(f"CREATE DATABASE {name}")


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    rows = "sizes, from small to large (default 10, 20 and 30 million)"
    parser.add_argument("--rows", type=int, nargs="+", default=STEPS, help=rows)
    parser.add_argument("--rounds", type=int, default=5, help="of both in turn (default 5)")
    parser.add_argument("--events", type=int, default=100_000, help="a run (default 100,000)")
    keep = "where the rows stay, to be used again"
    parser.add_argument("--keep", type=Path, metavar="DIR", help=keep)
    return parser.parse_args()


if __name__ == "__main__":
    main()
