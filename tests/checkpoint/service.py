"""A worker of a small service that runs in the test's own event loop, on a topic of its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import faust
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from faust.types import TP
from sqlalchemy import select

from app.checkpoint import Ack, Checkpoint, Metadata, ack
from app.checkpoint.consumer import Consumer
from app.checkpoint.models import EventRow, Model
from tests.polling import eventually_async
from tests.servers import Kafka


class Log:
    """A new topic and the group that reads it."""

    def __init__(
        self,
        bootstrap: str,
        kafka: Kafka | None = None,
        *,
        partitions: int = 1,
        config: Mapping[str, str] | None = None,
    ) -> None:
        self.topic = self.group = f"test-{uuid4().hex[:12]}"
        self.bootstrap = bootstrap
        self._kafka = kafka
        self._producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
        if kafka:
            kafka.create_topic(self.topic, partitions, config)

    def produce(self, *values: bytes, partition: int = 0) -> None:
        """Return once the broker has these values."""
        for value in values:
            self._producer.produce(self.topic, value, partition=partition)
            self._producer.poll(0)
        assert self._producer.flush(30) == 0

    def delete_before(self, offset: int) -> None:
        """Have the broker delete the oldest events of the first partition, as retention does."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for deleted in admin.delete_records([TopicPartition(self.topic, 0, offset)]).values():
            deleted.result()

    def make_anew(self) -> None:
        """Delete the topic, and create one of its name."""
        assert self._kafka is not None
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.delete_topics([self.topic])[self.topic].result()

        # The worker may be first, asking the broker for a topic that it must not miss.
        with suppress(KafkaException):
            self._kafka.create_topic(self.topic, 1)

    async def committed(self) -> dict[int, int]:
        """Return what the group has committed of each partition."""
        assert self._kafka is not None
        committed = await asyncio.to_thread(self._kafka.committed, self.group)
        return {partition: offset for (_, partition), offset in committed.items()}

    async def ends(self) -> dict[int, int]:
        """Return the offset that each partition's next message will have."""
        assert self._kafka is not None
        ends = await asyncio.to_thread(self._kafka.end_offsets, self.topic)
        return {partition: offset for (_, partition), offset in ends.items() if offset}

    async def wait_until_committed(self) -> None:
        """Return once no lag is left."""

        async def no_lag() -> None:
            assert await self.committed() == await self.ends()

        await eventually_async(no_lag, timeout=30)


class Hold:
    """Has a handler wait at some events, until told otherwise."""

    def __init__(self, *values: int) -> None:
        self.reached = asyncio.Event()
        self.release = asyncio.Event()
        self._values = values

    async def at(self, value: int) -> None:
        """Wait if this event is held."""
        if value in self._values:
            self.reached.set()
            await self.release.wait()


class Service:
    """One worker; its checkpointed agent records integers, each of which is an event of its own."""

    def __init__(  # noqa: PLR0913 - one for each thing that may be different
        self,
        log: Log,
        database_url: str,
        folder: Path,
        *,
        hold: Hold | None = None,
        skip: bool = False,
        grace: float = 10,
        **settings: Any,
    ) -> None:
        self.app = make_app(log, folder, **settings)
        self.checkpoint = Checkpoint(database_url, grace=grace, decode=int)
        self.handled: list[int] = []
        self._hold = hold or Hold()
        self._skip = skip
        topic = self.app.topic(log.topic, key_serializer="raw", value_serializer="raw")
        self.app.agent(topic, name="numbers")(self.checkpoint()(self._handle))

    @property
    def consumer(self) -> Consumer:
        """Ours."""
        consumer = self.app.consumer
        assert isinstance(consumer, Consumer)
        return consumer

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Service"]:
        """Run the worker, and stop it in order."""
        async with running(self.app, self.checkpoint):
            yield self

    async def wait_until_handled(self, *values: int) -> None:
        """Return once the handler was called with these, as often as they stand here."""

        async def all_of_them() -> None:
            assert sorted(self.handled) == sorted(values)

        await eventually_async(all_of_them, timeout=30)

    async def recorded(self) -> Sequence[int]:
        """Return the recorded values in the order of their recording."""
        return [int(value) for value in await self._column(EventRow.entity_id)]

    async def recorded_offsets(self) -> Sequence[int]:
        """Return where they lie."""
        return await self._column(EventRow.offset)

    async def _column(self, column: Any) -> Sequence[Any]:
        async with self.checkpoint.database.engine.connect() as connection:
            return (await connection.scalars(select(column).order_by(EventRow.id))).all()

    async def _handle(self, payload: int, metadata: Metadata) -> Ack | None:
        self.handled.append(payload)
        await self._hold.at(payload)
        return None if self._skip else ack(payload, metadata.timestamp or 0)


class Plain:
    """A worker with a plain agent, on Faust's own consumer or on ours, that leaves one event."""

    def __init__(self, log: Log, folder: Path, *, unfinished: int | None, ours: bool) -> None:
        self.app = make_app(log, folder)
        self.checkpoint = Checkpoint("sqlite:///:memory:") if ours else None
        self.seen: list[int] = []
        self._unfinished = unfinished
        topic = self.app.topic(log.topic, value_serializer="raw")
        self.app.agent(topic)(self._read)  # type: ignore[arg-type]

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Plain"]:
        """Run the worker, and stop it in order."""
        async with running(self.app, self.checkpoint):
            yield self

    async def wait_until_seen(self, offset: int) -> None:
        """Return once everything up to this offset was read, and acknowledged but for one."""

        async def read() -> None:
            assert self.seen[-1:] == [offset]

        await eventually_async(read, timeout=30)

    async def wait_until_committed(self, log: Log, offset: int) -> None:
        """Return once this offset is committed, and stays so although everything was read."""

        async def committed() -> None:
            await self.app.consumer.commit()
            assert await log.committed() == {0: offset}

        await eventually_async(committed, timeout=30)
        await committed()

    async def _read(self, stream: faust.Stream[bytes]) -> None:
        async for event in stream.noack().events():
            offset = event.message.offset
            if offset != self._unfinished:
                await stream.ack(event)
            self.seen.append(offset)


def make_app(log: Log, folder: Path, **settings: Any) -> faust.App:
    """Return an app that needs nothing but a broker."""
    return faust.App(
        log.group,
        broker=f"kafka://{log.bootstrap}",
        store="memory://",
        datadir=str(folder),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        **{"broker_commit_interval": 0.1, **settings},
    )


@asynccontextmanager
async def running(app: faust.App, checkpoint: Checkpoint | None) -> AsyncIterator[None]:
    """Run an app, with a checkpoint on a new database if there is one, and stop it in order."""
    if checkpoint:
        checkpoint.install(app)
        async with checkpoint.database.engine.begin() as connection:
            await connection.run_sync(Model.metadata.create_all)
    await app.start()
    try:
        yield
    finally:
        await app.stop()


def tp_of(log: Log, partition: int = 0) -> TP:
    """Return the name of a partition."""
    return TP(log.topic, partition)
