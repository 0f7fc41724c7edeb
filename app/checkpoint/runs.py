"""One event goes through its handler once, outside the stream."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint import queries
from app.checkpoint.attempts import FailedAttempt
from app.checkpoint.database import Database, handler_session, is_refusal
from app.checkpoint.events import Event
from app.checkpoint.outages import Outages
from app.checkpoint.outcomes import Ack, Skip
from app.checkpoint.pipeline import Pipeline
from app.checkpoint.records import Outcome
from app.checkpoint.store import Outcomes
from app.checkpoint.writes import Writes

Write: TypeAlias = Callable[[AsyncConnection, Outcomes], Awaitable[None]]
"""Puts down what became of an event, in the transaction that the connection is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is to run, and who puts down what became of it."""

    pipeline: Pipeline
    event: Event
    write: Write
    force: bool = False
    """Whether the handler runs although the event is recorded."""
    dry: bool = False
    """Whether all that the handler writes is taken back; it must be transactional."""

    async def __call__(self, database: Database, outages: Outages) -> Outcomes:
        """Probe, handle and record; the outcomes hold this one event.

        Raises:
            SQLAlchemyError: the database is out before the handler could do anything that stays.
        """
        if self.pipeline.handler.options.transactional:
            return await self._settle_in_transaction(database)
        outcomes = Outcomes()
        if self._is_duplicate(await self.pipeline.probe([self.event])):
            outcomes.duplicates.append(self.event)
        else:
            self._add(outcomes, await self.pipeline.attempt(self.event, None, None))
        # The handler is not to run once more because the database is away for a moment.
        return await outages.ride_out(lambda: self._record(database, outcomes))

    async def _record(self, database: Database, outcomes: Outcomes) -> Outcomes:
        try:
            await self._write(database, outcomes)
        except SQLAlchemyError as error:
            if outcomes.failed or not is_refusal(error):
                raise
            outcomes = self._refused(error)
            await self._write(database, outcomes)
        return outcomes

    async def _settle_in_transaction(self, database: Database) -> Outcomes:
        outcomes = Outcomes()
        try:
            async with database.engine.begin() as connection:
                await self._handle(connection, outcomes)
                await self.write(connection, outcomes)
                return outcomes
        except _RolledBackError:
            pass
        except SQLAlchemyError as error:
            if not is_refusal(error):
                raise
            if self._is_duplicate(await self.pipeline.probe([self.event])):
                outcomes = Outcomes(duplicates=[self.event])
            else:
                outcomes = self._refused(error)
        await self._write(database, outcomes)
        return outcomes

    async def _handle(self, connection: AsyncConnection, outcomes: Outcomes) -> None:
        if self._is_duplicate(await queries.known(connection, [self.event])):
            outcomes.duplicates.append(self.event)
            return
        async with handler_session(connection) as session:
            self._add(outcomes, await self.pipeline.attempt(self.event, None, Writes(session)))
        if self.dry or outcomes.failed:
            raise _RolledBackError

    async def _write(self, database: Database, outcomes: Outcomes) -> None:
        async with database.engine.begin() as connection:
            await self.write(connection, outcomes)

    def _is_duplicate(self, known: queries.Known) -> bool:
        return not self.force and self.event.identity in known.recorded

    def _add(self, outcomes: Outcomes, answer: Ack | Skip | FailedAttempt) -> None:
        if isinstance(answer, FailedAttempt):
            outcomes.failed.append(answer)
        elif isinstance(answer, Ack):
            outcomes.acked.append((self.event, answer))
        else:
            outcomes.skipped.append(self.event)

    def _refused(self, error: SQLAlchemyError) -> Outcomes:
        """Return that the database does not take what the handler has written or answered."""
        handler = self.pipeline.handler
        failed = handler.failed(handler.metadata(self.event, 1), self.event, error)
        return Outcomes(failed=[failed])


class _RolledBackError(Exception):
    """Ends a transaction whose effects must not stay."""


def outcome_of(outcomes: Outcomes) -> Outcome:
    """Return what became of the one event in it."""
    if outcomes.failed:
        return "failed"
    if outcomes.acked:
        return "acknowledged"
    return "duplicate" if outcomes.duplicates else "skipped"
