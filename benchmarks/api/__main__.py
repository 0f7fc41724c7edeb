"""What the API costs on large tables: `uv run python -m benchmarks.api`."""

import asyncio
import json
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from app.checkpoint.database import async_url
from benchmarks import results
from benchmarks.api import figures
from benchmarks.api.agents import Agents
from benchmarks.api.calls import Call, find_calls
from benchmarks.api.latencies import Client, Latencies, measure
from benchmarks.api.seeds import Size, seed
from benchmarks.api.servers import serving_api, serving_floor
from benchmarks.runs import Measurement
from benchmarks.servers import LARGE
from tests.servers import Kafka, PostgreSQL

WARM_UP = 3
"""Requests of each call before those that count: the server prepares each statement once."""
FULL = {
    "events": 10_000_000,
    "failures": 1_000_000,
    "requests": 300,
    "rounds": 5,
    "consumed": 200_000,
}
QUICK = {"events": 200_000, "failures": 20_000, "requests": 20, "rounds": 1, "consumed": 20_000}


class Bench:
    """Measures on tables of one size."""

    def __init__(self, kafka: Kafka, database_url: str, *, folder: Path) -> None:
        self._kafka = kafka
        self._database_url = database_url
        self._folder = folder

    async def calls(self, size: Size) -> list[Call]:
        """Return what to ask for."""
        async with self._connected() as connection:
            return await find_calls(connection, size)

    def latencies(self, calls: Sequence[Call], requests: int) -> dict[str, Latencies]:
        """Return what each call costs, asked so many times."""
        urls = {"broker_url": self._kafka.broker_url, "database_url": self._database_url}
        with (
            serving_api(**urls, log=self._folder / "api.log") as api_port,
            serving_floor(log=self._folder / "floor.log") as floor_port,
        ):
            api, floor = Client(api_port), Client(floor_port)
            measure(calls, api=api, floor=floor, requests=WARM_UP)
            return measure(calls, api=api, floor=floor, requests=requests)

    async def rates(
        self, calls: Sequence[Call], *, events: int, rounds: int
    ) -> dict[str, list[Measurement]]:
        """Return what a worker settles, the API left alone and under load."""
        agents = Agents(self._kafka, self._database_url, events=events, folder=self._folder)
        agents.fill_topic()
        async with self._connected() as connection:
            return await agents.run(connection, calls, rounds)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        engine = create_async_engine(async_url(self._database_url), isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            yield connection
        await engine.dispose()


def main() -> None:
    """Print the tables and, last, the line of JSON."""
    asked = _arguments()
    with PostgreSQL(asked.keep, durable=True, settings=LARGE) as postgresql:
        size = Size(events=asked.events, failures=asked.failures)
        url = _seeded(postgresql, size)
        machine = results.machine(str(postgresql.execute("SHOW server_version")[0][0]))
        print(f"\n{machine}\n{size.events:,} events, {size.failures:,} failures", flush=True)
        with Kafka() as kafka, tempfile.TemporaryDirectory() as at:
            _measure(Bench(kafka, url, folder=Path(at)), size, asked)
        if asked.keep:
            # In order: what is kept must not have to be recovered.
            postgresql.stop()


def _measure(bench: Bench, size: Size, asked: Namespace) -> None:
    calls = asyncio.run(bench.calls(size))
    told: dict[str, object] = {}
    if asked.requests:
        measured = bench.latencies(calls, asked.requests)
        told["calls"] = figures.summary(measured)
        print(f"{asked.requests} requests of each call, in ms\n\n{figures.table(measured)}\n")
        print(f"{figures.depths(calls, measured)}\n", flush=True)
    if asked.rounds:
        rates = asyncio.run(bench.rates(calls, events=asked.consumed, rounds=asked.rounds))
        told["agents"] = results.summary(rates)
        print(f"\n{results.table(rates)}\n")
    print(json.dumps(told))


def _seeded(postgresql: PostgreSQL, size: Size) -> str:
    """Return the URL of a database of this size; in a folder that is kept, it is made once."""
    name = f"rows_{size.events}_{size.failures}"
    # As administrator: between two runs the database is told to write all to the disk.
    server = f"postgresql://{postgresql.administrator}@127.0.0.1:{postgresql.port}"
    if name not in {row[0] for row in postgresql.execute("SELECT datname FROM pg_database")}:
        started = time.monotonic()
        postgresql.execute("DROP DATABASE IF EXISTS incomplete")
        postgresql.execute("CREATE DATABASE incomplete")
        asyncio.run(seed(f"{server}/incomplete", size))
        postgresql.execute(f"ALTER DATABASE incomplete RENAME TO {name}")
        print(f"seeded in {time.monotonic() - started:.0f} s", flush=True)
    return f"{server}/{name}"


def _arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="in about a minute: a fiftieth of it")
    parser.add_argument("--events", type=int, help="rows (default 10,000,000, quick 200,000)")
    parser.add_argument("--failures", type=int, help="rows (default 1,000,000, quick 20,000)")
    parser.add_argument(
        "--requests", type=int, help="of each call (default 300, quick 20, 0: none)"
    )
    parser.add_argument("--rounds", type=int, help="of the agents (default 5, quick 1, 0: none)")
    parser.add_argument("--consumed", type=int, help="events a run (default 200,000, quick 20,000)")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="where the rows stay, to be used again"
    )
    asked = parser.parse_args()
    defaults = QUICK if asked.quick else FULL
    for name, value in defaults.items():
        if getattr(asked, name) is None:
            setattr(asked, name, value)
    return asked


if __name__ == "__main__":
    main()
