"""Deletes what is kept no longer, beside agents that go on with their work."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mode import Service
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.database import Database, in_one_line, is_outage
from app.checkpoint.errors import CheckpointError, ConflictError
from app.checkpoint.notifications import log
from app.checkpoint.queries import retention as queries
from app.checkpoint.retention import Retention, Step, Sweep, sweeps
from app.checkpoint.store import retention as store

if TYPE_CHECKING:
    from app.checkpoint.decorator import Checkpoint

BATCH_SECONDS = 0.25
"""How long one batch should take at most; nobody else wants its rows."""
SQLITE_BATCH_SECONDS = 0.01
"""On SQLite, all others that write wait for it."""
LEAST_ROWS, MOST_ROWS = 100, 2_000
"""How many a batch looks at, however slow or fast that goes."""
REST = 9
"""How many times as long as a batch has taken, nothing is done after it."""
TRIES = 5
"""How often a batch is begun that the database cannot do at the moment, as in a deadlock."""
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a run has deleted so far, or would have."""

    rows: Mapping[str, int]
    """How many of what: events, resolved, discarded, open, audit, operations."""
    seconds: float
    """Since it began."""
    complete: bool
    """Whether nothing is left that was too old when it began."""


class Pruner:
    """Deletes what is older than it is kept, a few rows at a time, with long rests between.

    It may end anywhere, also by the death of its process: the next one goes on.
    """

    def __init__(
        self,
        database_url: str,
        keep: Retention,
        *,
        dry_run: bool = False,
        tell: Callable[[Pruned], None] = lambda _: None,
    ) -> None:
        self._database_url = database_url
        self._keep = keep
        self._dry_run = dry_run
        self._tell = tell
        self._limit = LEAST_ROWS
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Have the run end after the batch in hand."""
        self._stopping.set()

    async def run(self) -> Pruned:
        """Delete until nothing is left that was too old at the beginning, and say what was.

        Raises:
            SchemaError: the tables are not as they should be.
            ConflictError: another process does the same, on PostgreSQL or MariaDB.
            SQLAlchemyError: the database is away.
        """
        database = Database(self._database_url, pool_size=1)
        try:
            await database.check_schema()
            async with database.engine.connect() as connection:
                # Each statement is a transaction: none stays open while this process waits.
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                return await self._prune(connection)
        finally:
            await database.close()

    async def _prune(self, connection: AsyncConnection) -> Pruned:
        if not self._dry_run and not await store.take_turn(connection):
            msg = "another process prunes this database: it does what this one would do"
            raise ConflictError(msg, status="running")
        now = await queries.now(connection)
        began, rows = time.monotonic(), Counter[str]()
        for sweep in sweeps(self._keep, now):
            rows[sweep.name] = 0
            left: Sweep | None = sweep
            while left is not None and not self._stopping.is_set():
                step = await self._step(connection, left)
                left, rows[sweep.name] = step.then, rows[sweep.name] + step.rows
                self._tell(_so_far(rows, began, complete=False))
        return _so_far(rows, began, complete=not self._stopping.is_set())

    async def _step(self, connection: AsyncConnection, sweep: Sweep) -> Step:
        """Do one batch and rest, as often as the database takes it back."""
        act = queries.count if self._dry_run else store.delete_rows
        tries = 0
        while True:
            began = time.monotonic()
            try:
                step = await sweep.step(connection, act, limit=self._limit)
            except DBAPIError as error:
                tries += 1
                # Another connection would not have the turn.
                if error.connection_invalidated or not is_outage(error) or tries == TRIES:
                    raise
                await self._rest(RETRY_SECONDS)
            else:
                seconds = time.monotonic() - began
                self._limit = _fitting(self._limit, seconds, connection.dialect.name)
                await self._rest(REST * seconds)
                return step

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneSchedule:
    """What the workers of a service delete by themselves, and how often one looks for it."""

    keep: Retention
    every: timedelta


class PruneTimer(Service):
    """Prunes when a worker starts, and after each interval."""

    def __init__(self, checkpoint: "Checkpoint") -> None:
        super().__init__()
        self._checkpoint = checkpoint
        self._pruner: Pruner | None = None

    async def on_start(self) -> None:
        """Begin, if there is anything to be deleted."""
        schedule = self._checkpoint.pruning
        if schedule is not None and schedule.keep:
            self.add_future(self._repeat(schedule))

    async def on_stop(self) -> None:
        """End after the batch in hand; mode cancels what takes longer than a moment."""
        if self._pruner is not None:
            self._pruner.stop()

    async def _repeat(self, schedule: PruneSchedule) -> None:
        while not self.should_stop:
            self._pruner = Pruner(self._checkpoint.database_url, schedule.keep)
            await _prune_and_tell(self._pruner)
            await self.sleep(schedule.every.total_seconds())


async def _prune_and_tell(pruner: Pruner) -> None:
    try:
        pruned = await pruner.run()
    except ConflictError:
        # Of several workers, one is enough.
        return
    except (CheckpointError, SQLAlchemyError, OSError) as error:
        log(logging.WARNING, "checkpoint.prune_failed", error=in_one_line(error))
    else:
        seconds, complete = round(pruned.seconds, 1), pruned.complete
        log(logging.INFO, "checkpoint.pruned", seconds=seconds, complete=complete, **pruned.rows)


def _fitting(limit: int, seconds: float, dialect: str) -> int:
    """Return how many rows the next batch should look at, after one that has taken so long."""
    wanted = SQLITE_BATCH_SECONDS if dialect == "sqlite" else BATCH_SECONDS
    # It grows slowly: one batch that was fast by luck must not make the next one long.
    most = min(limit + limit // 4, MOST_ROWS)
    return max(LEAST_ROWS, min(int(limit * wanted / seconds), most))


def _so_far(rows: Mapping[str, int], began: float, *, complete: bool) -> Pruned:
    return Pruned(rows=dict(rows), seconds=time.monotonic() - began, complete=complete)
