"""Writes rows as the pipeline does, event by event."""

from dataclasses import replace
from typing import Any

from sqlalchemy import select

from app.checkpoint import Ack, Metadata, ack, store
from app.checkpoint.attempts import FailedAttempt, Handler
from app.checkpoint.database import Database
from app.checkpoint.events import Event, make_record
from app.checkpoint.identity import Identifier
from app.checkpoint.options import Options
from app.checkpoint.queries import Known, known
from app.checkpoint.store import Outcomes

ACK = ack("order-1", "2026-01-02T03:04:05.000006+02:00", "order_placed", 1)


class Writer:
    """What one agent of one service writes, event by event."""

    def __init__(
        self,
        database: Database,
        *,
        agent: str = "orders",
        group_id: str = "service",
        **options: Any,
    ) -> None:
        self.database = database
        self.handler = Handler(self._handle, Options(**options), agent=agent, group_id=group_id)
        self._identifier = Identifier(group_id=group_id, agent=agent)

    def event(self, value: bytes | None, **fields: Any) -> Event:
        """Return an event as the pipeline would name it."""
        return self._identifier.event(make_record(value, **{"topic": "orders"} | fields))

    def failed(
        self, event: Event, error: BaseException | None = None, attempt: int = 1
    ) -> FailedAttempt:
        """Return the last attempt at an event."""
        metadata = self.handler.metadata(event, attempt)
        failed = self.handler.failed(metadata, event, error or LookupError("none"))
        return replace(failed, retry_at=None)

    async def ack(self, *events: Event, answer: Ack = ACK, all_new: bool = False) -> None:
        """Record events as acknowledged, in one transaction."""
        outcomes = Outcomes(acked=[(event, answer) for event in events])
        await self._record(outcomes, all_new=all_new)

    async def fail(self, *failed: FailedAttempt) -> None:
        """Record failures in one transaction."""
        await self._record(Outcomes(failed=list(failed)))

    async def resolve(self, *events: Event) -> None:
        """Record that failed events have succeeded after all."""
        acked: list[tuple[Event, Ack]] = [(event, ACK) for event in events]
        await self._record(Outcomes(acked=acked, resolved=[event.identity for event in events]))

    async def known(self, *events: Event) -> Known:
        """Return what the stream would find of these events."""
        async with self.database.engine.connect() as connection:
            return await known(connection, events)

    async def rows(self, model: Any) -> list[Any]:
        """Return all rows of one of the tables, oldest first."""
        async with self.database.engine.connect() as connection:
            table = model.__table__
            return list(await connection.execute(select(table).order_by(table.c.id)))

    async def _record(self, outcomes: Outcomes, *, all_new: bool = False) -> None:
        async with self.database.engine.begin() as connection:
            await store.record(connection, self.handler, outcomes, all_new=all_new)

    async def _handle(self, _: Any, __: Metadata) -> Ack:
        return ACK
