"""What deleting old rows costs the agents meanwhile: `uv run python -m benchmarks.prune`."""

import asyncio
import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from statistics import median

from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks import results
from benchmarks.cases import Case, worker
from benchmarks.orders import PARTITIONS, produce
from benchmarks.rounds import administrator_url, connected
from benchmarks.runs import Measurement, measure
from benchmarks.servers import started
from benchmarks.task import Task
from tests.servers import Kafka

TOPIC = "orders"
SEED = """
    INSERT INTO checkpoint_events (
        identity, agent, topic, group_id, partition, "offset", entity_id, event_time, event_type,
        event_version, checksum, payload, sort_key, created_at
    )
    SELECT
        decode(md5('identity' || n), 'hex'), 'orders', 'orders', 'service', n %% 4, n,
        md5('entity' || n), now() - interval '99 days', 'order_placed', '1',
        decode(md5('checksum' || n), 'hex'),
        ('{"id": "' || md5('entity' || n) || '", "note": "' || repeat('x', 250) || '"}')::json,
        n, now() - interval '99 days'
    FROM generate_series(1, %(old)s) AS n
"""
LEFT = "SELECT count(*) FROM checkpoint_events WHERE id <= %(old)s"
LAST = "SELECT max(id) FROM checkpoint_events"

ALONE = Case(name="alone", command=worker("checkpoint"), empties=False)
COMMAND = Case(name="command", command=worker("checkpoint"), empties=False)
TIMER = Case(name="timer", command=worker("pruning"), empties=False)


class Bench:
    """Runs the same agent alone and beside a prune, in turn, on a table with old rows."""

    def __init__(self, kafka: Kafka, url: str, *, asked: Namespace, folder: Path) -> None:
        self._kafka = kafka
        self._url = url
        self._asked = asked
        self._folder = folder
        self.rates: defaultdict[str, list[Measurement]] = defaultdict(list)
        self.deleted: defaultdict[str, list[int]] = defaultdict(list)
        """How many rows, in each run."""

    async def run(self) -> None:
        """Do all rounds."""
        self._kafka.create_topic(TOPIC, PARTITIONS)
        produce(self._kafka.bootstrap, TOPIC, self._asked.events)
        async with connected(self._url) as connection:
            await connection.exec_driver_sql(_sql(SEED, self._asked.old))
            await connection.exec_driver_sql("VACUUM ANALYZE checkpoint_events")
            for number in range(1, self._asked.rounds + 1):
                for case in (ALONE, COMMAND, TIMER):
                    beside = self._prune if case is COMMAND else nullcontext
                    await self._measure(case, f"{case.name}-{number}", connection, beside)

    async def _measure(
        self,
        case: Case,
        group: str,
        connection: AsyncConnection,
        beside: Callable[[], AbstractContextManager[object]],
    ) -> None:
        task = Task(
            broker_url=self._kafka.broker_url,
            database_url=self._url,
            topic=TOPIC,
            group=group,
            events=self._asked.events,
            report=str(self._folder / f"{group}.json"),
        )
        before = await self._left(connection)
        last = (await connection.exec_driver_sql(LAST)).scalar_one()
        with beside():
            found = await measure(case, task, connection, after=last)
        left = await self._left(connection)
        if not left:
            message = "nothing is left to be deleted: more --old"
            raise RuntimeError(message)
        self.rates[case.name].append(found)
        self.deleted[case.name].append(before - left)
        print(f"{group}: {found.events_per_s:,.0f}/s, {before - left:,} deleted", flush=True)

    async def _left(self, connection: AsyncConnection) -> int:
        left: int = (await connection.exec_driver_sql(_sql(LEFT, self._asked.old))).scalar_one()
        return left

    @contextmanager
    def _prune(self) -> Iterator[None]:
        with subprocess.Popen(
            [sys.executable, "-m", "faust", "-A", "app", "prune", "--events", "30d"],
            env={**os.environ, "DATABASE_URL": self._url, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            try:
                yield
            finally:
                process.terminate()
                process.communicate()


def main() -> None:
    """Print the table."""
    asked = _arguments()
    with started() as servers:
        url = administrator_url(servers.postgresql)
        bench = Bench(servers.kafka, url, asked=asked, folder=servers.folder)
        asyncio.run(bench.run())
    print(
        f"\n{servers.machine}\n"
        f"{asked.rounds} rounds of {asked.events:,} events, {asked.old:,} old rows\n"
    )
    print(results.table(bench.rates))
    for name, deleted in bench.deleted.items():
        print(f"{name}: {median(deleted):,.0f} rows deleted in a run")


def _sql(statement: str, old: int) -> str:
    return statement % {"old": old}


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks.prune", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of every case in turn (default 5)")
    parser.add_argument("--events", type=int, default=200_000, help="a run (default 200,000)")
    parser.add_argument("--old", type=int, default=3_000_000, help="rows (default 3,000,000)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
