"""A service with failures in its database, and what an operator does to them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import faust
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import Ack, Actor, Checkpoint, Metadata, Model, Replay
from app.checkpoint.models import AuditRow, EventRow, FailureRow
from app.checkpoint.outcomes import Skip
from tests.checkpoint.writer import ACK, Writer
from tests.polling import eventually_async

OPERATOR = Actor(name="anna", request_id="request-1")

effects = Table("effects", MetaData(), Column("id", Integer, primary_key=True))


class Desk:
    """Two agents share the topic `orders`: `plain` and `transactional`, which writes an effect."""

    def __init__(self, database_url: str, **options: Any) -> None:
        # Nobody listens at that port, and nothing here connects to it.
        self.app = faust.App("service", broker="kafka://127.0.0.1:9", store="memory://")
        self.checkpoint = Checkpoint(database_url, **options)
        self.checkpoint.install(self.app)
        self.replay: Replay = self.checkpoint.replay
        topic = self.app.topic("orders", key_serializer="raw", value_serializer="raw")
        self.app.agent(topic, name="plain")(self.checkpoint()(self._plain))
        transactional = self.checkpoint(transactional=True)(self._transactional)
        self.app.agent(topic, name="transactional")(transactional)
        self.seen: list[tuple[Any, Metadata]] = []
        """What the handlers were called with."""
        self.answer: Ack | Skip | None = ACK
        self.error: BaseException | None = None
        self.hold: asyncio.Event | None = None
        """What the handlers wait for once they are called."""
        self.database = self.checkpoint.database

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Desk"]:
        """Make the tables, and close all connections afterwards."""
        async with self.database.engine.begin() as connection:
            for metadata in (Model.metadata, effects.metadata):
                await connection.run_sync(metadata.create_all)
        yield self
        await self.replay.close()
        await self.database.close()

    def writer(self, agent: str = "plain", **options: Any) -> Writer:
        """Return what writes as the stream of an agent does."""
        return Writer(self.database, agent=agent, **options)

    async def fail(self, value: bytes | None = b"{}", agent: str = "plain", **fields: Any) -> int:
        """Have an event fail, and return the failure's id."""
        writer = self.writer(agent)
        await writer.fail(writer.failed(writer.event(value, **fields)))
        return int((await writer.rows(FailureRow))[-1].id)

    async def failure(self, failure_id: int) -> Any:
        """Return the row of a failure."""
        [row] = [row for row in await self.rows(FailureRow) if row.id == failure_id]
        return row

    async def rows(self, model: Any) -> list[Any]:
        """Return all rows of a table, oldest first."""
        return await self.writer().rows(model)

    async def events(self) -> list[Any]:
        """Return all event rows."""
        return await self.rows(EventRow)

    async def audit(self) -> list[Any]:
        """Return all audit rows."""
        return await self.rows(AuditRow)

    async def effects(self) -> int:
        """Return how often the transactional handler's effect was committed."""
        async with self.database.engine.connect() as connection:
            return await connection.scalar(select(func.count()).select_from(effects)) or 0

    async def until_running(self, count: int = 1) -> None:
        """Return once so many handlers have been called."""

        async def running() -> None:
            assert len(self.seen) >= count

        await eventually_async(running, timeout=30, interval=0.001)

    async def _plain(self, payload: Any, metadata: Metadata) -> Ack | Skip | None:
        self.seen.append((payload, metadata))
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        return self.answer

    async def _transactional(
        self, payload: Any, metadata: Metadata, session: AsyncSession
    ) -> Ack | Skip | None:
        await session.execute(insert(effects))
        return await self._plain(payload, metadata)
