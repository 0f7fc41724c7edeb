"""How many events a second one worker settles: `uv run python -m benchmarks.throughput`."""

import asyncio
import tempfile
from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from app.checkpoint.database import async_url
from app.checkpoint.models import Model
from benchmarks import results
from benchmarks.cases import CASES, Case
from benchmarks.orders import PARTITIONS, produce
from benchmarks.runs import Measurement, measure
from benchmarks.task import Task
from tests.servers import Kafka, PostgreSQL


class Throughput:
    """Runs the cases in turn, round after round, on servers of its own."""

    def __init__(self, kafka: Kafka, postgresql: PostgreSQL, *, events: int, folder: Path) -> None:
        self._kafka = kafka
        # As administrator: between two runs the database is told to write all to the disk.
        self._url = f"postgresql://{postgresql.administrator}@127.0.0.1:{postgresql.port}/postgres"
        self._events = events
        self._folder = folder

    def fill_topics(self, cases: list[Case]) -> None:
        """Produce the events of all cases, before anything is measured."""
        for events in {self._events // case.share for case in cases}:
            self._kafka.create_topic(_topic(events), PARTITIONS)
            produce(self._kafka.bootstrap, _topic(events), events)

    async def run(self, cases: list[Case], rounds: int) -> dict[str, list[Measurement]]:
        """Return the measurements of each case, one a round."""
        measured: defaultdict[str, list[Measurement]] = defaultdict(list)
        async with self._tables() as connection:
            for number in range(1, rounds + 1):
                for case in cases:
                    found = await measure(case, self._task(case, number), connection)
                    measured[case.name].append(found)
                    print(f"round {number}: {case.name} {found.events_per_s:,.0f}/s", flush=True)
        return measured

    def _task(self, case: Case, number: int) -> Task:
        events = self._events // case.share
        return Task(
            broker_url=self._kafka.broker_url,
            database_url=self._url,
            topic=_topic(events),
            group=f"{case.name}-{number}",
            events=events,
            report=str(self._folder / f"{case.name}-{number}.json"),
        )

    @asynccontextmanager
    async def _tables(self) -> AsyncIterator[AsyncConnection]:
        engine = create_async_engine(async_url(self._url), isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.run_sync(Model.metadata.create_all)
            yield connection
        await engine.dispose()


def _topic(events: int) -> str:
    return f"orders-{events}"


def main() -> None:
    """Print the table and, last, the line of JSON."""
    asked = _arguments()
    cases = [case for case in CASES if case.name in asked.cases]
    with (
        Kafka() as kafka,
        PostgreSQL(durable=True) as postgresql,
        tempfile.TemporaryDirectory() as at,
    ):
        machine = results.machine(str(postgresql.execute("SHOW server_version")[0][0]))
        bench = Throughput(kafka, postgresql, events=asked.events, folder=Path(at))
        bench.fill_topics(cases)
        rounds = asyncio.run(bench.run(cases, asked.rounds))
    print(f"\n{machine}\n{asked.rounds} rounds of {asked.events:,} events\n")
    print(results.table(rounds))
    print(results.line(rounds))


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    names = [case.name for case in CASES]
    parser.add_argument("--quick", action="store_true", help="within 50 s: fewer events and rounds")
    parser.add_argument("--rounds", type=int, help="of every case in turn (default 5, quick 3)")
    parser.add_argument("--events", type=int, help="a run (default 100,000, quick 20,000)")
    parser.add_argument("--cases", nargs="+", choices=names, default=names, help="only these")
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (3 if asked.quick else 5)
    asked.events = asked.events or (20_000 if asked.quick else 100_000)
    return asked


if __name__ == "__main__":
    main()
