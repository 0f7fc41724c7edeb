"""Where the soak takes place: servers, workers, load and oracle, all in one folder."""

import asyncio
import contextlib
import random
import time
from pathlib import Path

from confluent_kafka import KafkaException
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from app.checkpoint.database import Database
from tests.end_to_end.effects import create_effects
from tests.end_to_end.stage import migrate
from tests.end_to_end.worker import Worker
from tests.faults.proxy import Proxy
from tests.faults.soak.book import Book, Numbered
from tests.faults.soak.load import AGENTS, Load
from tests.faults.soak.memory import Memory
from tests.faults.soak.oracle import Oracle
from tests.servers import Kafka
from tests.servers.sql import DatabaseServer

GROUP = "soak"
WORKERS = 3
PARTITIONS = 6
"""With four, Faust's assignor leaves one of three workers without any."""
LOOK_SECONDS = 0.5
"""Between two looks at what has become of the events."""


class SoakStage:
    """Everything goes on while a fault lasts: load, sampling, and the other workers."""

    session_timeout = 2.0

    def __init__(
        self, folder: Path, *, kafka: Kafka, database: DatabaseServer, dice: random.Random
    ) -> None:
        self.kafka, self.database = kafka, database
        self.network = Proxy(database.port)
        """Between the workers and the database."""
        self.book = Book(folder / "book")
        self.oracle = Oracle(
            self.book, folder / "journal", f"{GROUP}.transactional", f"{GROUP}.flaky"
        )
        self.memory = Memory()
        self._looks: list[tuple[float, int]] = []
        """Monotonic times, and how many events were settled then."""
        self.died_alone = 0
        """How many workers have ended although nobody told them to."""
        self._folder = folder
        self._url = self._prepare()
        self.load = Load(kafka.bootstrap, self.book, GROUP, dice)
        self._workers: list[Worker] = []
        self._started = 0

    def start(self) -> None:
        """Start the workers."""
        for _ in range(WORKERS):
            self.start_worker()

    def start_worker(self) -> Worker:
        """Start one more worker."""
        self._started += 1
        settings = {
            "BROKER_URL": self.kafka.broker_url,
            "DATABASE_URL": self.network.url(self._url),
            "FOLDER": str(self._folder),
            "GRACE": "10",
            "GROUP": GROUP,
            "SESSION_TIMEOUT": str(self.session_timeout),
        }
        log = self._folder / f"worker-{self._started}.log"
        worker = Worker("tests.faults.soak.service", log=log, environ=settings)
        self._workers.append(worker)
        return worker

    def mortals(self) -> list[Worker]:
        """Return the workers that may be killed: all but the first, whose memory is watched."""
        return self._workers[1:]

    def replace(self, worker: Worker) -> None:
        """Start another worker for one that has ended."""
        self.forget(worker)
        self.start_worker()

    def forget(self, worker: Worker) -> None:
        """Do without a worker that has ended."""
        self._workers.remove(worker)
        self.oracle.forget(worker.pid)

    def check_workers(self) -> None:
        """Start another worker for each that has ended by itself."""
        for worker in [worker for worker in self._workers if not worker.running]:
            self.died_alone += 1
            worker.kill()
            self.replace(worker)

    def in_flight(self, *workers: Worker) -> int:
        """Return how many events these workers, or all, have begun and nobody has settled."""
        return sum(self.oracle.in_flight(worker.pid) for worker in workers or self._workers)

    def rate(self, seconds: float) -> float:
        """Return how many events a second were settled in the last seconds."""
        since = time.monotonic() - seconds - LOOK_SECONDS
        recent = [look for look in self._looks if look[0] > since]
        if len(recent) < 2:
            return 0.0
        (first_at, first), (last_at, last) = recent[0], recent[-1]
        return (last - first) / (last_at - first_at)

    def until_in_flight(self) -> int:
        """Return how many events the workers have in hand, once they have any."""
        while not (in_flight := self.in_flight()):
            self.go_on_for(LOOK_SECONDS / 10)
        return in_flight

    def go_on_for(self, seconds: float) -> None:
        """Return after so long; meanwhile messages are produced and offsets looked at."""
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            self.look()
            time.sleep(min(LOOK_SECONDS, left))

    def go_on_until_settled(self, event: Numbered) -> None:
        """Return once an event has an outcome, or two minutes are over."""
        ends_at = time.monotonic() + 120
        while event not in self.oracle.settled and time.monotonic() < ends_at:
            self.go_on_for(LOOK_SECONDS)

    def go_on_until_ready(self, worker: Worker) -> None:
        """Return once a worker that was just started is a member of the group, or has ended."""
        while "Worker ready" not in worker.output and worker.running:
            self.go_on_for(LOOK_SECONDS)

    def look(self) -> None:
        """Look at journal, offsets and rows as far as somebody answers, and produce."""
        self.check_workers()
        self.load.listen()
        with contextlib.suppress(KafkaException, SQLAlchemyError, OSError):
            self._read_on()
        self.load.refill(len(self.book.events) - len(self.oracle.settled))
        self._looks.append((time.monotonic(), len(self.oracle.settled)))
        self.memory.look(self._workers[0].pid if self._workers else None)

    def finish(self, seconds: float) -> tuple[int, int]:
        """Let everything be settled for at most so long; return effects doubled and missing."""
        self.load.finish()
        ends_at = time.monotonic() + seconds
        while self.oracle.unsettled() and time.monotonic() < ends_at:
            self._read_on()
            self.check_workers()
            time.sleep(LOOK_SECONDS)
        for worker in self._workers:
            worker.end()
        self._read_on()
        return asyncio.run(self._wrong_effects())

    def close(self) -> None:
        """Kill what is left of the workers, and keep the book."""
        for worker in self._workers:
            worker.kill()
        self.book.save()

    def _read_on(self) -> None:
        self.oracle.read_journal()
        # Offsets first: rows only grow, so what is missing then was missing before.
        committed = self.kafka.committed(GROUP) if self.kafka.running else {}
        asyncio.run(self._read_rows())
        self.oracle.check_commits(committed)

    async def _read_rows(self) -> None:
        database = Database(self._url)
        try:
            async with asyncio.timeout(10), database.engine.connect() as connection:
                await self.oracle.read_rows(connection)
        finally:
            await database.close()

    async def _wrong_effects(self) -> tuple[int, int]:
        database = Database(self._url)
        try:
            async with database.engine.connect() as connection:
                return await self.oracle.wrong_effects(connection)
        finally:
            await database.close()

    def _prepare(self) -> str:
        """Make database and topics unless an earlier run has; return the database's URL."""
        known = self._folder / "database"
        if known.exists():
            url = make_url(known.read_text()).set(port=self.database.port)
            return url.render_as_string(hide_password=False)
        for agent in AGENTS:
            self.kafka.create_topic(f"{GROUP}.{agent}", PARTITIONS)
        address = self.database.create_database(GROUP)
        migrate(address)
        asyncio.run(create_effects(address))
        known.write_text(address)
        return address
