"""A service whose operators act on many failures at once, without Kafka."""

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import faust
from sqlalchemy import select, update

from app.checkpoint import Ack, Checkpoint, Metadata, ack
from app.checkpoint.database import Database
from app.checkpoint.models import AuditRow, FailureRow, OperationItemRow, OperationRow
from app.checkpoint.operations import Operations
from app.checkpoint.records import Actor, Operation, Plan
from app.checkpoint.replay import Replay
from app.checkpoint.runner import OperationsRunner
from tests.checkpoint.service import Hold
from tests.checkpoint.writer import Writer
from tests.polling import eventually_async

GROUP = "service"
ADA = Actor(name="ada", request_id="request-1")


class Bulk:
    """One process of the service; its agent `orders` handles integers."""

    def __init__(
        self, tables: Database, *, broken: Iterable[int] = (), hold: Hold | None = None
    ) -> None:
        self.tables = tables
        self.checkpoint = Checkpoint(tables.url.render_as_string(hide_password=False), decode=int)
        app = faust.App(GROUP, store="memory://", broker="kafka://127.0.0.1:1")
        self.replay = Replay(self.checkpoint, app)
        self.operations = Operations(self.checkpoint, self.replay)
        self.broken = set(broken)
        """Values at which the handler still fails."""
        self.handled: list[int] = []
        self.handled_at: list[float] = []
        self._hold = hold or Hold()
        topic = app.topic("orders", key_serializer="raw", value_serializer="raw")
        app.agent(topic, name="orders")(self.checkpoint()(self._handle))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work off operations, and stop in order."""
        runner = OperationsRunner(self.operations)
        await runner.start()
        try:
            yield
        finally:
            await runner.stop()

    async def close(self) -> None:
        """Close all connections."""
        await self.operations.close()
        await self.replay.close()
        await self.checkpoint.database.close()

    async def work_off(self, plan: Plan, by: Actor = ADA) -> Operation:
        """Start an operation, and return it once it has ended."""
        started = await self.operations.start(plan, by)
        async with self.working():
            return await self.wait_until_ended(started.id)

    async def wait_until_ended(self, operation_id: int) -> Operation:
        """Return an operation once it no longer runs."""

        async def ended() -> Operation:
            operation = await self.operations.get(operation_id, ADA)
            assert operation.status != "running"
            return operation

        return await eventually_async(ended, timeout=30)

    async def fail(self, *values: int, topic: str = "orders", agent: str = "orders") -> list[int]:
        """Have events fail as in the stream, and return the ids of their failures."""
        writer = Writer(self.tables, agent=agent, group_id=GROUP)
        events = [writer.event(b"%d" % value, offset=value, topic=topic) for value in values]
        await writer.fail(*(writer.failed(event) for event in events))
        ids = {(row.topic, row.offset): row.id for row in await self.rows(FailureRow)}
        return [ids[topic, value] for value in values]

    async def rows(self, model: Any) -> list[Any]:
        """Return all rows of one of the tables, oldest first."""
        table = model.__table__
        async with self.tables.engine.connect() as connection:
            return list(await connection.execute(select(table).order_by(*table.primary_key)))

    async def statuses(self) -> list[str]:
        """Return the status of each failure, oldest first."""
        return [row.status for row in await self.rows(FailureRow)]

    async def outcomes(self) -> list[str | None]:
        """Return the outcome of each item, in the order in which they are taken up."""
        return [row.outcome for row in await self.rows(OperationItemRow)]

    async def acts(self) -> list[str]:
        """Return what the audit says was done, oldest first."""
        return [row.action for row in await self.rows(AuditRow)]

    async def silence(self) -> None:
        """Have whoever works on anything count as dead."""
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        async with self.tables.engine.begin() as connection:
            for row in (OperationRow, FailureRow):
                claimed = update(row).where(row.claimed_by.is_not(None))
                await connection.execute(claimed.values(claimed_at=long_ago))

    async def _handle(self, payload: int, _: Metadata) -> Ack | None:
        self.handled.append(payload)
        self.handled_at.append(time.monotonic())
        await self._hold.at(payload)
        if payload in self.broken:
            raise LookupError(payload)
        return ack(payload, 0)
