"""A process of the service: the engine's lanes, and what feeds and commits them.

The consumer's part is played by a few lines that do as `app.checkpoint.consumer` does, whose own
tests are elsewhere: give up everything in order when a rebalance begins, commit at any moment what
the lanes allow, begin at the committed offsets, seek and rewind.
"""

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any, TypeAlias, TypeVar

from faust.types import TP

from app.checkpoint import Backoff, Checkpoint
from app.checkpoint.keyed import opens
from app.checkpoint.lanes import Lanes
from app.checkpoint.outages import Outages
from app.checkpoint.pipeline import Pipeline
from app.checkpoint.suspects import Suspects
from tests.simulation.driver import Connection
from tests.simulation.group import TOPIC, Assignment, Group
from tests.simulation.loop import PROCESS, Process
from tests.simulation.service import Service
from tests.simulation.store import Store
from tests.simulation.world import TroubleError

T = TypeVar("T")

GRACE = 2.0
POLL_SECONDS = 0.7
COMMIT_SECONDS = 0.9
HEARTBEAT_SECONDS = 1.0

Variant: TypeAlias = Callable[[Pipeline], Pipeline]
"""Returns the pipeline to work with instead."""


class Machine:
    """Where one worker after the other is started; has the checkpoint of the service's module."""

    def __init__(self, number: int) -> None:
        self.name = f"worker {number}"
        self.store: Store | None = None
        self.checkpoint = Checkpoint("sqlite:///simulated.db")
        dialect = self.checkpoint.database.engine.sync_engine.dialect
        connect = partial(dialect.connect, async_creator_fn=self._connect)
        dialect.connect = connect  # type: ignore[method-assign]  # the engine's own listener calls it

    def switch_on(self, store: Store) -> None:
        """Begin with nothing but the compiled statements of earlier processes."""
        self.store = store
        checkpoint = self.checkpoint
        checkpoint.database.engine.sync_engine.dispose(close=False)
        checkpoint.outages = Outages(Backoff(min=0.05, max=2.0, jitter=0.0))
        checkpoint.suspects = Suspects(checkpoint.database, checkpoint.outages)

    async def _connect(self, *_: Any, **__: Any) -> Connection:
        assert self.store is not None
        return await Connection.open(self.store)


class Worker(Process):
    """One life of a process."""

    def __init__(
        self, machine: Machine, *, group: Group, service: Service, variant: Variant
    ) -> None:
        super().__init__(machine.name)
        self.machine = machine
        self.crashes: list[BaseException] = []
        self.rewinds = 0
        self.is_stopping = False
        self.seeks: list[str] = []
        """`seek` and `rewind`, to be done with the next fetch."""
        self._world = service.world
        self._group = group
        checkpoint = machine.checkpoint
        pipeline = service.decorated(checkpoint).pipeline(agent="orders", group_id="service")
        self.lanes = Lanes(
            grace=GRACE, on_crash=self.crashes.append, give_up=checkpoint.suspects.give_up
        )
        suspects, varied = checkpoint.suspects, variant(pipeline)
        self.lanes.add(TOPIC, suspects.guard(varied), opens(varied, suspects))
        self._assignment = Assignment(generation=-1, positions={})
        self._is_ours = False
        self._acknowledged: dict[TP, int] = {}
        self._committing = asyncio.Lock()

    def start(self) -> None:
        """Begin to work, as a process of its own."""
        context = copy_context()
        context.run(PROCESS.set, self)
        for part in (self._consume, self._commit_now_and_then, self._say_that_we_live):
            context.run(self._world.loop.create_task, part())

    @property
    def generation(self) -> int:
        """Return the generation of the group that its lanes are of."""
        return self._assignment.generation

    def in_flight(self) -> bool:
        """Return whether an event is on its way."""
        return any(self.lanes.busy(tp) for tp in self.lanes.partitions())

    async def _consume(self) -> None:
        while not self.is_stopping:
            await self._join()
            while self._is_ours and not self.is_stopping:
                await self._fetch()
                await asyncio.sleep(POLL_SECONDS)
            await self.lanes.drain()
            await self._commit()
            self.lanes.close()
            self._assignment.positions.clear()
        self._group.leave(self)
        self._world.strike(self, "dies")

    async def _join(self) -> None:
        joined = await self._ask("join", lambda: self._group.join(self))
        if joined is not None:
            self._assignment = await joined
            self._acknowledged = dict(self._assignment.positions)
            self._is_ours = True

    async def _fetch(self) -> None:
        positions = self._assignment.positions
        for tp in positions.keys() - self.lanes.full():
            await self._seek(tp)
            if not self._group.fetch(tp, positions[tp]):
                continue  # The broker answers when there is something.
            records = await self._ask(
                f"fetch {tp.partition}", partial(self._group.fetch, tp, positions[tp])
            )
            if records and self._is_ours:
                self.lanes.deliver(tp, records)
                positions[tp] = records[-1].offset + 1

    async def _seek(self, tp: TP) -> None:
        if not self.seeks:
            return
        positions, begin = self._assignment.positions, self._group.committed[tp]
        if self.seeks.pop() == "rewind":
            self.rewinds += 1
            # Not as far back as the first event that waits, if there are more.
            begin = max(begin, positions.pop(tp) - 1)
            await self.lanes.rewind(tp, begin)
        positions[tp] = begin

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            await self._commit()

    async def _commit(self) -> None:
        async with self._committing:
            assignment = self._assignment
            offsets = {tp: self._offset(tp) for tp in assignment.positions}
            new = {
                tp: offset
                for tp, offset in offsets.items()
                if offset is not None and offset != self._acknowledged[tp]
            }
            committing = partial(self._group.commit, self, assignment.generation, new)
            if not new:
                return
            if await self._ask(f"commit {[*new.values()]}", committing):
                self._acknowledged.update(new)

    def _offset(self, tp: TP) -> int | None:
        position = self.lanes.position(tp)
        return position if self.lanes.busy(tp) else self._assignment.positions.get(tp, position)

    async def _say_that_we_live(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            if self._is_ours and not self._group.hear(self, self._assignment.generation):
                self._is_ours = False

    async def _ask(self, name: str, carry_out: Callable[[], T]) -> T | None:
        """Return the broker's answer, None when there was none."""
        try:
            return await self._world.request(name, carry_out)
        except TroubleError:
            return None
