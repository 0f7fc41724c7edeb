"""Bulk operations: many failures are retried or discarded, as a plan says and only those."""

from typing import TYPE_CHECKING

from app.checkpoint import plans
from app.checkpoint.database import Database
from app.checkpoint.queries import operations as queries
from app.checkpoint.records import Actor, Count, FailureRecord, Operation, Plan
from app.checkpoint.replay import Replay
from app.checkpoint.store import operations as store

if TYPE_CHECKING:
    from app.checkpoint.decorator import Checkpoint

POOL_SIZE = 4
SAMPLE = 5
"""Failures that a preview shows."""


class Operations:
    """Starts, shows and cancels operations; the workers' `OperationsRunner`s work them off."""

    def __init__(self, checkpoint: "Checkpoint", replay: Replay) -> None:
        self.checkpoint = checkpoint
        self.replay = replay
        # Not the agents' connections: they never wait for what operators do.
        self.database = Database(checkpoint.database_url, pool_size=POOL_SIZE)
        self._reader = Database(checkpoint.database_url, pool_size=POOL_SIZE, read_only=True)

    async def close(self) -> None:
        """Close all connections."""
        await self.database.close()
        await self._reader.close()

    async def preview(self, plan: Plan, by: Actor) -> tuple[Count, list[FailureRecord]]:
        """Return how many failures `start` would select now, and the oldest of them.

        Raises:
            ConfigurationError: the plan cannot be worked off; says what to write instead.
        """
        plans.check(plan)
        async with self._reader.engine.connect() as connection:
            count = await queries.count_selected(connection, plan, by)
            return count, await queries.sample(connection, plan, by, limit=SAMPLE)

    async def start(self, plan: Plan, by: Actor) -> Operation:
        """Begin an operation on what a plan selects now; what fails later is not touched by it.

        Ids of failures that are not open, or that this actor may not see, are left out.

        Raises:
            ConfigurationError: the plan cannot be worked off; says what to write instead.
        """
        plans.check(plan)
        async with self.database.engine.begin() as connection:
            operation_id = await store.start(connection, plan, by)
            return await queries.operation(connection, operation_id, by)

    async def get(self, operation_id: int, by: Actor) -> Operation:
        """Return an operation and how far it is.

        Raises:
            NotFoundError: there is none, or none that this actor may see.
        """
        async with self._reader.engine.connect() as connection:
            return await queries.operation(connection, operation_id, by)

    async def latest(self, by: Actor, *, limit: int) -> list[Operation]:
        """Return the operations that an actor may see, newest first."""
        async with self._reader.engine.connect() as connection:
            return await queries.latest(connection, by, limit=limit)

    async def cancel(self, operation_id: int, by: Actor) -> Operation:
        """End an operation: the item in hand is finished, and the others stay as they are.

        Raises:
            NotFoundError: there is none, or none that this actor may see.
            ConflictError: it has ended already.
        """
        async with self.database.engine.begin() as connection:
            await store.cancel(connection, operation_id, by)
            return await queries.operation(connection, operation_id, by)
