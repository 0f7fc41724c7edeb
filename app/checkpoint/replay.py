"""A stored event's handler runs again because somebody asks for it: once per call."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from faust.types import AppT
from sqlalchemy import Row
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint import failures, store
from app.checkpoint.attempts import Handler
from app.checkpoint.claims import RENEWAL_SECONDS, kept_alive
from app.checkpoint.database import Database
from app.checkpoint.errors import HandlerError, ReplayError
from app.checkpoint.events import Event, make_record
from app.checkpoint.identity import checksum
from app.checkpoint.pipeline import Pipeline
from app.checkpoint.records import Actor, Replayed
from app.checkpoint.runs import Run, outcome_of
from app.checkpoint.store import Claimed, Outcomes

if TYPE_CHECKING:
    from app.checkpoint.decorator import Checkpoint

AT_ONCE = 4
"""Handlers that run again at the same time; what is beyond waits."""


class Replay:
    """Runs handlers again, through the same decoding, dedupe, session and notifications.

    It has connections of its own: the agents never wait for one that a retry holds.
    """

    def __init__(
        self, checkpoint: "Checkpoint", app: AppT, *, renewal: float = RENEWAL_SECONDS
    ) -> None:
        self._checkpoint = checkpoint
        self._app = app
        self._renewal = renewal
        # One more: a claim is renewed while all others are in the hands of handlers.
        self._database = Database(checkpoint.database_url, pool_size=AT_ONCE + 1)
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._pipelines: dict[str, Pipeline] = {}

    async def close(self) -> None:
        """Close all connections."""
        await self._database.close()

    async def retry(self, failure_id: int, *, by: Actor, payload: bytes | None = None) -> Replayed:
        """Run the handler again for a failed event; if it succeeds, the failure is resolved.

        Args:
            failure_id: of an open failure.
            by: who asks for it.
            payload: the value to run with instead. The event row holds it, the failure its own.

        Raises:
            NotFoundError: there is no such failure, or none that they may see.
            ConflictError: it is not open, or another retry of it runs; of several, one runs.
            ReplayError: the handler is not in this service.
            HandlerError: the handler raised; the failure stays open.
        """
        async with self._database.engine.begin() as connection:
            claimed = await store.claim(connection, failure_id, by, edited=payload)
        try:
            renew = partial(self._write, store.renew, claimed)
            async with kept_alive(renew, seconds=self._renewal), self._at_once:
                return await self._retry(claimed)
        finally:
            # Ended already, unless something came between.
            with suppress(SQLAlchemyError):
                await self._write(store.release, claimed)

    async def dry_run(
        self, failure_id: int, *, by: Actor, payload: bytes | None = None
    ) -> Replayed:
        """Return what a retry of a transactional handler would come to, and take it all back.

        Raises:
            NotFoundError: there is no such failure, or none that they may see.
            ReplayError: the handler is not in this service, or it is not transactional.
        """
        async with self._at_once:
            async with self._database.engine.connect() as connection:
                row = await store.find_failure(connection, failure_id, by)
            pipeline = self._pipeline(row)
            if not pipeline.handler.options.transactional:
                msg = f"{row.agent} is not transactional: what a dry run does could not be undone"
                raise ReplayError(msg)
            write = _Audit(by=by, action="dry_run", row=row)
            run = Run(pipeline=pipeline, event=_event(row, payload), write=write, dry=True)
            outcomes = await run(self._database, self._checkpoint.outages)
        error = outcomes.failed[0].error if outcomes.failed else None
        return Replayed(
            outcome=outcome_of(outcomes),
            error_class=None if error is None else failures.error_class(error),
            error_message=None if error is None else failures.error_message(error),
        )

    async def rerun(self, event_id: int, *, by: Actor) -> Replayed:
        """Run the handler again for an event that is recorded; its row stays as it is.

        Raises:
            NotFoundError: there is no such event, or none that they may see.
            ReplayError: the handler is not in this service.
            HandlerError: the handler raised.
        """
        async with self._at_once:
            async with self._database.engine.connect() as connection:
                row = await store.find_event(connection, event_id, by)
            pipeline = self._pipeline(row)
            write = _Audit(by=by, action="rerun", row=row)
            run = Run(pipeline=pipeline, event=_event(row, None), write=write, force=True)
            return _replayed(await run(self._database, self._checkpoint.outages))

    async def discard(self, failure_id: int, *, by: Actor, reason: str | None = None) -> None:
        """Settle a failure without handling its event; it is kept, and can no longer be retried.

        Raises:
            NotFoundError: there is no such failure, or none that they may see.
            ConflictError: it is not open, or a retry of it runs.
        """
        async with self._database.engine.begin() as connection:
            await store.discard(connection, failure_id, by, reason=reason)

    async def _retry(self, claimed: Claimed) -> Replayed:
        pipeline = self._pipeline(claimed.row)
        event = _event(claimed.row, claimed.edited)
        started = time.perf_counter()
        write = _Resolve(claimed=claimed, handler=pipeline.handler)
        run = Run(pipeline=pipeline, event=event, write=write)
        outcomes = await run(self._database, self._checkpoint.outages)
        seconds = time.perf_counter() - started
        error = outcomes.failed[0].error if outcomes.failed else None
        if error is None:
            pipeline.reports.settled(outcomes, {}, seconds)
        pipeline.reports.retried(event, outcome_of(outcomes), error, seconds)
        return _replayed(outcomes)

    async def _write(
        self, write: Callable[[AsyncConnection, Claimed], Awaitable[None]], claimed: Claimed
    ) -> None:
        async with self._database.engine.begin() as connection:
            await write(connection, claimed)

    def _pipeline(self, row: Row[Any]) -> Pipeline:
        group_id = self._app.conf.id
        if row.group_id != group_id:
            msg = f"the event belongs to the group {row.group_id}, and this service is {group_id}"
            raise ReplayError(msg)
        if row.agent not in self._pipelines:
            handlers = {
                agent.name: handler for agent, handler in self._checkpoint.agents(self._app)
            }
            if row.agent not in handlers:
                msg = f"this service has no agent {row.agent}: it was removed or renamed"
                raise ReplayError(msg)
            handler = handlers[row.agent]
            self._pipelines[row.agent] = handler.pipeline(
                agent=row.agent,
                group_id=group_id,
                database=self._database,
                options=replace(handler.options, max_retries=0, breaker=None),
            )
        return self._pipelines[row.agent]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resolve:
    """Puts down what became of a failure that was retried."""

    claimed: Claimed
    handler: Handler

    async def __call__(self, connection: AsyncConnection, outcomes: Outcomes) -> None:
        if outcomes.failed:
            await store.fail_again(connection, self.claimed, self.handler, outcomes.failed[0])
            return
        all_new = self.handler.options.transactional
        await store.record(connection, self.handler, outcomes, all_new=all_new)
        await store.resolve(connection, self.claimed, outcome_of(outcomes))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Audit:
    """Puts down only that a handler was run again."""

    by: Actor
    action: str
    row: Row[Any]

    async def __call__(self, connection: AsyncConnection, outcomes: Outcomes) -> None:
        after: dict[str, str] = {"outcome": outcome_of(outcomes)}
        if outcomes.failed:
            error = outcomes.failed[0].error
            after["error_class"] = failures.error_class(error)
            after["error_message"] = failures.error_message(error)
        await store.audit(connection, self.by, self.action, self.row, after)


def _event(row: Row[Any], edited: bytes | None) -> Event:
    """Return a stored event as it came, or with another value: it is the same event.

    Raises:
        ReplayError: its value could not be stored, and there is no other.
    """
    stored = row.payload.encode() if row.payload is not None else row.payload_raw
    if stored is None and row.checksum is not None and edited is None:
        msg = "its payload was too large: raise max_allowed_packet, and send the event again"
        raise ReplayError(msg)
    value = stored if edited is None else edited
    headers, timestamp = (
        failures.parse_origin(row.metadata) if "metadata" in row._fields else ((), None)
    )
    record = make_record(
        value,
        topic=row.topic,
        partition=row.partition,
        offset=row.offset,
        key=row.key,
        headers=headers,
        timestamp=timestamp,
    )
    return Event(record, identity=row.identity, checksum=checksum(value))


def _replayed(outcomes: Outcomes) -> Replayed:
    if outcomes.failed:
        error = outcomes.failed[0].error
        raise HandlerError(
            failures.error_message(error), error_class=failures.error_class(error)
        ) from error
    return Replayed(outcome=outcome_of(outcomes))
