"""What a worker does about bulk operations: it works them off, item by item."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Concatenate, ParamSpec, TypeVar

from mode import Service
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint import plans
from app.checkpoint.claims import kept_alive
from app.checkpoint.errors import (
    ConflictError,
    HandlerError,
    NotFoundError,
    ProcessDiedError,
    ReplayError,
)
from app.checkpoint.operations import Operations
from app.checkpoint.queries import operations as queries
from app.checkpoint.queries.operations import Item
from app.checkpoint.store import operations as store
from app.checkpoint.store.operations import ClaimedOperation

P = ParamSpec("P")
T = TypeVar("T")

SIDE_BY_SIDE = 2
"""Operations that a worker goes on with at once: one that is slow on purpose holds up no other."""
POLL_SECONDS = 1.0
"""How soon a worker sees what others have started or cancelled."""


class OperationsRunner(Service):
    """Works off operations of this and of other workers, also those of workers that have died.

    An operation has one worker at a time, and each of its failures is taken up once: its outcome
    is committed together with the act.
    """

    def __init__(self, operations: Operations) -> None:
        super().__init__()
        self._operations = operations
        self._outages = operations.checkpoint.outages
        self._working: list[asyncio.Future[None]] = []

    async def on_start(self) -> None:
        """Look for operations from now on."""
        self._working = [self.add_future(self._work_off()) for _ in range(SIDE_BY_SIDE)]

    async def on_stop(self) -> None:
        """Finish the items in hand within the checkpoint's grace; others go on with the rest."""
        # With the database away, nothing can be finished.
        grace = self._operations.checkpoint.grace if self._outages.since is None else 0
        if self._working:
            await asyncio.wait(self._working, timeout=grace)

    async def _work_off(self) -> None:
        while not self.should_stop:
            claimed = await self._ride_out(store.claim)
            if claimed is None:
                await self.sleep(POLL_SECONDS)
            else:
                await self._take_up(claimed)

    async def _take_up(self, claimed: ClaimedOperation) -> None:
        try:
            async with kept_alive(lambda: self._once(store.renew, claimed)):
                await self._go_on(claimed)
        finally:
            with suppress(SQLAlchemyError, OSError):
                await self._once(store.release, claimed)

    async def _go_on(self, claimed: ClaimedOperation) -> None:
        """Take up item by item, until none is left, the claim is lost or the worker stops."""
        due = time.monotonic()
        while not self.should_stop:
            item = await self._ride_out(queries.next_item, claimed.id, claimed.claim)
            if item is None:
                await self._ride_out(store.end, claimed, "finished")
                return
            if (delay := due - time.monotonic()) > 0:
                await self.sleep(min(delay, POLL_SECONDS))
                continue
            if reason := await self._reason_to_stop(claimed, item.position):
                await self._ride_out(store.end, claimed, "stopped", reason)
                return
            due = time.monotonic() + (1 / claimed.plan.rate if claimed.plan.rate else 0)
            await self._act(claimed, item)

    async def _reason_to_stop(self, claimed: ClaimedOperation, position: int) -> str | None:
        since = plans.look_back(claimed.plan, position)
        if since is None:
            return None
        outcomes = await self._ride_out(queries.outcomes, claimed.id, since=since)
        return plans.reason_to_stop(claimed.plan, outcomes)

    async def _act(self, claimed: ClaimedOperation, item: Item) -> None:
        """Have one failure retried or discarded; Replay puts down what became of it."""
        replay = self._operations.replay
        act = replay.retry if claimed.plan.action == "retry" else replay.discard
        by = claimed.actor(item.position)
        try:
            await self._outages.ride_out(lambda: act(item.failure_id, by=by))
        except HandlerError:
            return
        except (NotFoundError, ConflictError, ReplayError, ProcessDiedError) as error:
            if isinstance(error, ConflictError) and error.status == "retrying":
                # By somebody else, or by a worker that has died in it: that shows in a while.
                await self.sleep(POLL_SECONDS)
            else:
                await self._ride_out(store.pass_over, claimed, item.position)

    async def _ride_out(
        self,
        work: Callable[Concatenate[AsyncConnection, P], Awaitable[T]],
        *args: P.args,
        **options: P.kwargs,
    ) -> T:
        return await self._outages.ride_out(lambda: self._once(work, *args, **options))

    async def _once(
        self,
        work: Callable[Concatenate[AsyncConnection, P], Awaitable[T]],
        *args: P.args,
        **options: P.kwargs,
    ) -> T:
        async with self._operations.database.engine.begin() as connection:
            return await work(connection, *args, **options)
