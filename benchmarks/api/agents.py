"""How many events a second a worker settles: left alone, asked itself, and beside who is asked."""

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from uuid import uuid4

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.models import EventRow
from benchmarks.api.calls import Call
from benchmarks.api.load import load
from benchmarks.api.servers import serving_api
from benchmarks.cases import Case
from benchmarks.orders import PARTITIONS, produce
from benchmarks.runs import Measurement, measure
from benchmarks.task import Task
from tests.servers import Kafka
from tests.servers.machine import free_port

TOPIC = "orders"


class Agents:
    """Runs workers on one topic, each with a consumer group of its own."""

    def __init__(self, kafka: Kafka, database_url: str, *, events: int, folder: Path) -> None:
        self._kafka = kafka
        self._database_url = database_url
        self._events = events
        self._folder = folder

    def fill_topic(self) -> None:
        """Produce the events, before anything is measured."""
        self._kafka.create_topic(TOPIC, PARTITIONS)
        produce(self._kafka.bootstrap, TOPIC, self._events)

    async def run(
        self, connection: AsyncConnection, calls: Sequence[Call], rounds: int
    ) -> dict[str, list[Measurement]]:
        """Return the measurements of each case, one a round."""
        measured: dict[str, list[Measurement]] = {"alone": [], "asked": [], "asked apart": []}
        for number in range(1, rounds + 1):
            # Who is first in one round is last in the next: each run leaves a larger table.
            in_turn = list(measured.items())[:: 1 if number % 2 else -1]
            for name, runs in in_turn:
                # New in every run: a database that is kept knows the events of those before.
                task = self._task(f"{name.replace(' ', '-')}-{number}-{uuid4().hex}")
                port, answers = free_port(), Counter[int]()
                async with AsyncExitStack() as stack:
                    apart = name == "asked apart"
                    asked = stack.enter_context(self._serving()) if apart else port
                    if name != "alone":
                        answers = await stack.enter_async_context(load(asked, calls))
                    found = await self._measure(connection, port, task)
                runs.append(found)
                told = f"{found.events_per_s:,.0f}/s, answers by status: {dict(answers)}"
                print(f"round {number}: {name} {told}", flush=True)
        return measured

    async def _measure(self, connection: AsyncConnection, port: int, task: Task) -> Measurement:
        after = await connection.scalar(select(func.max(EventRow.id))) or 0
        return await measure(_worker(port), task, connection, after=after)

    def _serving(self) -> AbstractContextManager[int]:
        return serving_api(
            broker_url=self._kafka.broker_url,
            database_url=self._database_url,
            log=self._folder / "apart.log",
        )

    def _task(self, group: str) -> Task:
        return Task(
            broker_url=self._kafka.broker_url,
            database_url=self._database_url,
            topic=TOPIC,
            group=group,
            events=self._events,
            report=str(self._folder / f"{group}.json"),
        )


def _worker(port: int) -> Case:
    web = ("--web-bind", "127.0.0.1", "--web-port", str(port))
    worker = ("-m", "faust", "-A", "benchmarks.cases.served", "worker", *web, "-l", "info")
    return Case(name="served", command=worker, empties=False)
