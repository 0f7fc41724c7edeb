"""An event that ends its process at each delivery becomes a failure, not a crash loop.

A worker writes down which lanes it settles, and takes that back when it gives them up. Whoever
finds a lane that was not given up knows that its owner died, and goes on with care: what is in hand
is written down before any of the service's code runs for it, one lane at a time. Where no one has
died, nothing is written for a batch.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.database import Database
from app.checkpoint.errors import ProcessDiedError
from app.checkpoint.events import Record
from app.checkpoint.identity import IDENTITY_SIZE, framed
from app.checkpoint.lanes import Lane, Progress, Settle
from app.checkpoint.notifications import log
from app.checkpoint.outages import Outages
from app.checkpoint.pipeline import Pipeline
from app.checkpoint.queries.lanes import InHand, LeftBehind, left_behind
from app.checkpoint.store import lanes as store
from app.checkpoint.suspicion import CAREFUL_SECONDS, Suspicion

T = TypeVar("T")

GIVE_UP_SECONDS = 2.0
"""How long the database may take when lanes are given up."""


class Suspects:
    """Stands between the lanes of one worker and their pipelines."""

    def __init__(
        self, database: Database, outages: Outages, *, careful_seconds: float = CAREFUL_SECONDS
    ) -> None:
        self._owner = uuid4().bytes
        self._database = database
        self._outages = outages
        self._careful_seconds = careful_seconds
        self._names: dict[Lane, bytes] = {}
        self._trusted: set[Lane] = set()
        self._suspicions: dict[Lane, Suspicion] = {}
        self._turn = asyncio.Lock()

    def guard(self, pipeline: Pipeline) -> Settle:
        """Return what settles events as the pipeline does, with care where an owner has died."""

        def settle(lane: Lane, records: Sequence[Record]) -> Awaitable[Progress]:
            if lane in self._trusted:
                return pipeline.settle(lane, records)
            return self._settle(pipeline, lane, records)

        return settle

    async def trusts(self, pipeline: Pipeline, lane: Lane) -> bool:
        """Return whether nothing in a lane is suspected to have ended its last owner's process.

        Asked for the first time, this writes down that the lane is settled here.
        """
        if lane not in self._names:
            await self._open(pipeline, lane)
        return lane in self._trusted

    async def give_up(self, lanes: Sequence[Lane]) -> None:
        """Forget lanes that have ended while the process lives on, but not what is suspected there.

        Tried once, for a short time: without it, the next owner is careful for nothing.
        """
        names = {lane: self._names.pop(lane) for lane in lanes if lane in self._names}
        suspects = [lane for lane in names if lane in self._suspicions]
        suspected = {names[lane]: self._suspicions.pop(lane).in_hand for lane in suspects}
        self._trusted.difference_update(lanes)
        if names:
            await self._give_up([*names.values()], suspected)

    async def _give_up(
        self, names: Sequence[bytes], suspected: Mapping[bytes, InHand | None]
    ) -> None:
        innocent = [name for name in names if name not in suspected]
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS), self._database.engine.begin() as begun:
                await store.give_up(begun, innocent, self._owner)
                for name, in_hand in suspected.items():
                    await store.hold(begun, name, self._owner, in_hand)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            cause = type(error).__name__
            log(logging.WARNING, "checkpoint.lanes_not_given_up", lanes=len(names), error=cause)

    async def _settle(self, pipeline: Pipeline, lane: Lane, records: Sequence[Record]) -> Progress:
        if await self.trusts(pipeline, lane):
            return await pipeline.settle(lane, records)
        suspicion = self._suspicions[lane]
        async with self._our_turn(suspicion.careful_until):
            progress = await self._settle_with_care(pipeline, lane, suspicion.take(records))
            # Still our turn: what ends the process from now on has nothing to do with these events.
            await self._hold(lane, suspicion.in_hand)
        if suspicion.is_over:
            self._trusted.add(lane)
            del self._suspicions[lane]
            # It may have a better use for its time now than to wait for its head.
            lane.wake()
        return progress

    async def _settle_with_care(
        self, pipeline: Pipeline, lane: Lane, records: Sequence[Record]
    ) -> Progress:
        suspicion = self._suspicions[lane]
        starts = suspicion.proven(records[0])
        if starts and _is_set_aside(pipeline, records[0], starts):
            settled = pipeline.set_aside(lane, records[0], ProcessDiedError(starts))
        else:
            await self._hold(lane, suspicion.blame(records))
            settled = pipeline.settle(lane, records)
        started = time.monotonic()
        progress = await settled
        seconds = time.monotonic() - started
        done = {record.offset for record in records[: progress.done]}
        # Of what is retried for ever nothing is set aside, and its end is not waited for.
        has_end = pipeline.handler.options.max_retries is not None
        is_waiting = has_end and bool(lane.attempts.keys() - done)
        suspicion.survived(records, progress, seconds, is_waiting=is_waiting)
        return progress

    async def _open(self, pipeline: Pipeline, lane: Lane) -> None:
        row = _row(pipeline, lane, self._owner)
        found = await self._write(lambda connection: _claim(connection, row))
        if found is None:
            self._trusted.add(lane)
        else:
            self._suspicions[lane] = Suspicion(
                found.in_hand,
                in_batches=pipeline.handler.options.ordered_by == "partition",
                careful_seconds=self._careful_seconds,
            )
            told = {name: row[name] for name in ("agent", "topic", "partition")}
            log(logging.WARNING, "checkpoint.lane_owner_died", **told, in_hand=found.in_hand)
        self._names[lane] = row["lane"]

    async def _hold(self, lane: Lane, in_hand: InHand | None) -> None:
        name = self._names[lane]
        await self._write(lambda connection: store.hold(connection, name, self._owner, in_hand))

    async def _write(self, write: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async def transaction() -> T:
            async with self._database.engine.begin() as connection:
                return await write(connection)

        return await self._outages.ride_out(transaction)

    @asynccontextmanager
    async def _our_turn(self, until: float) -> AsyncIterator[None]:
        """Wait until no other lane is careful; but a handler may take an hour, so not for ever."""
        taken = False
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                taken = await self._turn.acquire()
        except TimeoutError:
            pass
        try:
            yield
        finally:
            if taken:
                self._turn.release()


async def _claim(connection: AsyncConnection, row: dict[str, Any]) -> LeftBehind | None:
    found = await left_behind(connection, row["lane"])
    if found is None:
        await store.open_lane(connection, row)
    else:
        await store.take_over(connection, row["lane"], row["owner"])
    return found


def _row(pipeline: Pipeline, lane: Lane, owner: bytes) -> dict[str, Any]:
    agent, group_id = pipeline.handler.agent, pipeline.handler.group_id
    topic, partition = lane.tp
    parts = (part.encode() for part in (group_id, topic, str(partition), agent))
    return {
        "lane": blake2b(framed(*parts), digest_size=IDENTITY_SIZE).digest(),
        "agent": agent,
        "topic": topic,
        "group_id": group_id,
        "partition": partition,
        "owner": owner,
    }


def _is_set_aside(pipeline: Pipeline, record: Record, starts: int) -> bool:
    """Say what ends the process, and return whether it is not to be run again."""
    for_ever = pipeline.handler.options.max_retries is None
    log(
        logging.CRITICAL if for_ever else logging.ERROR,
        "checkpoint.process_killer",
        agent=pipeline.handler.agent,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        starts=starts,
    )
    return not for_ever
