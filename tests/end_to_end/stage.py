"""What one test plays on: a consumer group with its own topics, database and journal."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from alembic import command
from alembic.config import Config
from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import Executable, Row, select, union_all

from app.checkpoint.database import Database
from app.checkpoint.models import EventRow, FailureRow
from tests.end_to_end.effects import create_effects, effects
from tests.end_to_end.flag import Flag
from tests.end_to_end.invariants import check_effects, check_nothing_is_lost, check_order
from tests.end_to_end.journal import Journal, Place
from tests.end_to_end.ledger import Ledger
from tests.end_to_end.worker import ROOT, Worker
from tests.polling import eventually
from tests.servers import Kafka

TOPICS = (
    *("plain", "transactional", "retrying", "failing", "undone"),
    *("webhooks", "anything", "flaky", "shared"),
)


class Stage:
    """Starts workers of `service.py` and shows what they left behind."""

    def __init__(self, kafka: Kafka, database_url: str, folder: Path) -> None:
        self.kafka = kafka
        self.database_url = database_url
        self.group = f"test-{uuid4().hex[:12]}"
        self.journal = Journal(folder / "journal")
        self.mended, self.held = Flag(folder / "mended"), Flag(folder / "held")
        self.ledger = Ledger(kafka)
        self.workers: list[Worker] = []
        self._folder = folder
        for name in TOPICS:
            kafka.create_topic(self.topic(name))
        migrate(database_url)
        asyncio.run(create_effects(database_url))

    def topic(self, agent: str) -> str:
        """Return the topic of an agent."""
        return f"{self.group}.{agent}"

    def start(
        self,
        *,
        ready: bool = True,
        web: bool = False,
        service: str = "tests.end_to_end.service",
        **environ: str,
    ) -> Worker:
        """Start a worker, and wait until it fetches unless told otherwise."""
        settings = {
            "BROKER_URL": self.kafka.broker_url,
            "DATABASE_URL": self.database_url,
            "FOLDER": str(self._folder),
            "GRACE": "10",
            "GROUP": self.group,
            "SESSION_TIMEOUT": "6",
            **environ,
        }
        log = self._folder / f"worker-{len(self.workers)}.log"
        worker = Worker(service, log=log, environ=settings, web=web)
        self.workers.append(worker)
        if ready:
            worker.wait_until_ready()
        return worker

    def produce(self, agent: str, *payloads: object) -> list[Place]:
        """Produce payloads as JSON to an agent, in this order; return where they lie."""
        values = [orjson.dumps(payload) for payload in payloads]
        known = len(self.ledger.entries)
        self.ledger.produce(self.topic(agent), values, partition=0)
        return [produced.place for produced in self.ledger.entries[known:]]

    def settle(self, agent: str, *payloads: object, as_: type[EventRow | FailureRow]) -> list[int]:
        """Produce payloads to an agent; return the ids of the rows once all of them are there."""
        places = self.produce(agent, *payloads)
        columns = as_.id, as_.topic, as_.partition, as_.offset

        def settled() -> list[int]:
            rows = self.fetch(select(*columns).where(as_.topic == self.topic(agent)))
            ids = {Place._make(row[1:]): row.id for row in rows}
            assert ids.keys() >= set(places)
            return [ids[place] for place in places]

        return eventually(settled, timeout=30)

    def end(self, workers: Iterable[Worker]) -> None:
        """End workers in order, all at once."""
        ending = list(workers)
        for worker in ending:
            worker.wait_until_ready()
        # Side by side: a second signal in the last moments of a process would end it at once.
        with ThreadPoolExecutor(len(ending)) as threads:
            status = list(threads.map(Worker.end, ending))
        assert not any(status), status

    def fetch(self, statement: Executable) -> Sequence[Row[Any]]:
        """Return the rows of a query."""
        return asyncio.run(self._fetch(statement))

    def execute(self, statement: Executable) -> None:
        """Have the database do something."""
        asyncio.run(self._execute(statement))

    def outcomes(self) -> list[Place]:
        """Return where the events lie that are recorded or failed, as often as they are."""
        events = select(EventRow.topic, EventRow.partition, EventRow.offset)
        failures = select(FailureRow.topic, FailureRow.partition, FailureRow.offset)
        return [Place._make(row) for row in self.fetch(union_all(events, failures))]

    def settled(self) -> set[Place]:
        """Return where the events lie that are recorded or failed."""
        return set(self.outcomes())

    def effects(self) -> list[Place]:
        """Return where the events lie whose effects are committed, as often as they are."""
        columns = effects.c.topic, effects.c.partition, effects.c.offset
        return [Place._make(row) for row in self.fetch(select(*columns).order_by(effects.c.id))]

    def committed(self) -> dict[tuple[str, int], int]:
        """Return the offsets that the group has committed."""
        return self.kafka.committed(self.group)

    def wait_until_settled(self, *, timeout: float = 60.0) -> None:
        """Return once the database knows what became of every message that the broker took."""

        def nothing_is_missing() -> None:
            assert self.settled() == {produced.place for produced in self.ledger.entries}

        eventually(nothing_is_missing, timeout=timeout, interval=0.1)

    def rewind(self) -> None:
        """Have the next worker of the group begin at the first message again."""
        settings = {"bootstrap.servers": self.kafka.bootstrap, "group.id": self.group}
        with Consumer({**settings, "log_level": 0}) as member:
            starts = [TopicPartition(*tp, 0) for tp in self.committed()]
            member.commit(offsets=starts, asynchronous=False)
        assert set(self.committed().values()) == {0}

    def runs(self) -> Counter[Place]:
        """Return how often the handler has run for each message."""
        return Counter(entry.place for entry in self.journal.read() if entry.step == "started")

    def check(self) -> None:
        """Check what must hold when every message is settled and the workers have ended."""
        produced = self.ledger.entries
        check_nothing_is_lost(produced, self.outcomes())
        check_order(produced, self.journal.read())
        transactional = self.topic("transactional")
        check_effects([one for one in produced if one.place.topic == transactional], self.effects())
        self.check_committed(message.place for message in produced)

    def check_committed(self, places: Iterable[Place]) -> None:
        """Check that the group has committed exactly these, and what lies before them."""
        ends = {(topic, partition): offset + 1 for topic, partition, offset in sorted(places)}
        assert self.committed() == ends

    def close(self) -> None:
        """Kill the workers that are left, and print what they said in case the test has failed."""
        for worker in self.workers:
            worker.kill()
            sys.stdout.write(f"{worker.log.name}:\n{worker.output[-4000:]}\n")

    async def _execute(self, statement: Executable) -> None:
        database = Database(self.database_url)
        async with database.engine.begin() as connection:
            await connection.execute(statement)
        await database.close()

    async def _fetch(self, statement: Executable) -> Sequence[Row[Any]]:
        # On SQLite, a transaction that might write has to wait for those of the workers.
        database = Database(self.database_url, read_only=self.database_url.startswith("sqlite"))
        try:
            async with database.engine.connect() as connection:
                return (await connection.execute(statement)).all()
        finally:
            await database.close()


def migrate(database_url: str) -> None:
    """Run the migrations on a database."""
    attributes = {"database_url": database_url}
    command.upgrade(Config(toml_file=ROOT / "pyproject.toml", attributes=attributes), "head")
