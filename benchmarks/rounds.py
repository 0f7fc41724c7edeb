"""Cases in turn, round after round: whatever else the machine does hits them alike."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from app.checkpoint.database import async_url
from app.checkpoint.models import EventRow, Model
from benchmarks import results
from benchmarks.cases import Case
from benchmarks.orders import Filler
from benchmarks.runs import Measurement, measure
from benchmarks.task import Task
from tests.servers import Kafka, PostgreSQL


class Rounds:
    """Runs cases on a broker and on databases, each of which is named by its key in `urls`."""

    def __init__(self, kafka: Kafka, urls: Mapping[str, str], *, events: int, folder: Path) -> None:
        self._kafka = kafka
        self._urls = urls
        self._events = events
        self._folder = folder
        self._topics: set[str] = set()

    async def run(self, cases: Sequence[Case], rounds: int) -> dict[str, list[Measurement]]:
        """Return the measurements of each case, one a round."""
        # Before anything is measured.
        for case in cases:
            self._fill_topic(case)
        measured: defaultdict[str, list[Measurement]] = defaultdict(list)
        async with self._connections(cases) as connections:
            for number in range(1, rounds + 1):
                for case in cases:
                    found = await self._measure(case, connections[case.database])
                    measured[case.name].append(found)
                    print(f"round {number}: {case.name} {found.events_per_s:,.0f}/s", flush=True)
        return measured

    def compare(self, kinds: Mapping[str, Sequence[Case]], rounds: int) -> dict[str, object]:
        """Print a table for the cases of each kind; return what they show."""
        told: dict[str, object] = {}
        for name, cases in kinds.items():
            print(f"\n{name}", flush=True)
            measured = asyncio.run(self.run(cases, rounds))
            told[name] = results.summary(measured)
            print(results.table(measured), flush=True)
        return told

    async def _measure(self, case: Case, connection: AsyncConnection) -> Measurement:
        newest = None if case.empties else await connection.scalar(select(func.max(EventRow.id)))
        return await measure(case, self._task(case), connection, after=newest or 0)

    def _fill_topic(self, case: Case) -> None:
        topic, events = self._topic(case), self._events // case.share
        if topic not in self._topics:
            self._topics.add(topic)
            self._kafka.create_topic(topic, case.partitions + case.idle)
            sizes = {"size": case.size, "partitions": case.partitions}
            Filler(self._kafka.bootstrap, topic, **sizes).produce(events)

    def _task(self, case: Case) -> Task:
        # New in every run: a database that is kept knows the events of those before.
        group = f"run-{uuid4().hex}"
        return Task(
            broker_url=self._kafka.broker_url,
            database_url=self._urls[case.database],
            topic=self._topic(case),
            group=group,
            events=self._events // case.share,
            report=str(self._folder / f"{group}.json"),
            work=case.work,
        )

    def _topic(self, case: Case) -> str:
        events = self._events // case.share
        return f"orders-{events}-{case.size}-{case.partitions}-{case.idle}"

    @asynccontextmanager
    async def _connections(
        self, cases: Sequence[Case]
    ) -> AsyncIterator[dict[str, AsyncConnection]]:
        async with AsyncExitStack() as stack:
            yield {
                name: await stack.enter_async_context(connected(self._urls[name]))
                for name in {case.database for case in cases}
            }


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncConnection]:
    """Connect to a database that has the tables, made if need be; each statement is committed."""
    engine = create_async_engine(async_url(url), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.run_sync(Model.metadata.create_all)
        yield connection
    await engine.dispose()


def administrator_url(postgresql: PostgreSQL) -> str:
    """Return a URL whose user may tell the server to write all to the disk."""
    return f"postgresql://{postgresql.administrator}@127.0.0.1:{postgresql.port}/postgres"
