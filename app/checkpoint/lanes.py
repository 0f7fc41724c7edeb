"""One lane per agent and partition: a bounded buffer and the task that works it off in order."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TypeAlias

from faust.types import TP

from app.checkpoint.attempts import FailedAttempt
from app.checkpoint.events import Record
from app.checkpoint.store import Outcomes

logger = logging.getLogger(__name__)

BATCH_SIZE = 500
"""Most events settled in one transaction."""
BUFFERED_EVENTS = 40_000
"""Events that may wait in all lanes together; a lane over its share is full."""
BUFFERED_BYTES = 64 * 1024 * 1024
"""Bytes of raw values that may wait in all lanes together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What became of the events at the head of a lane."""

    done: int
    """Events, from the head on, whose outcomes are in the database."""
    delay: float = 0.0
    """Seconds to wait before the rest is taken up."""
    batch_size: int | None = None
    """Most events to take up next; None: no reason to take fewer than before."""
    outcomes: Outcomes = field(default_factory=Outcomes)
    """What became of the events that are done."""


Settle: TypeAlias = Callable[["Lane", Sequence[Record]], Awaitable[Progress]]
OpenLane: TypeAlias = Callable[[TP, Settle], "Lane"]
GiveUp: TypeAlias = Callable[[Sequence["Lane"]], Awaitable[None]]


class Lane:
    """Works off one partition for one agent, in offset order."""

    def __init__(self, tp: TP, settle: Settle) -> None:
        self.tp = tp
        self.attempts: dict[int, FailedAttempt] = {}
        """The last failed attempt at an offset that is not settled yet."""
        self.position: int | None = None
        """The offset that may be committed: that of the first event not settled."""
        self.buffered_bytes = 0
        self.busy_since: float | None = None
        """Monotonic time at which the batch in hand was taken up; None: there is none."""
        self.flush_each = 0
        """How many batches to come have the writes of each event flushed by themselves."""
        self.stopping = asyncio.Event()
        self._woken = asyncio.Event()
        self._settle = settle
        self._buffer: deque[Record] = deque()
        self._next_offset = -1  # What comes of a channel in memory has no other offset.
        self._batch_size = BATCH_SIZE
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        """Return how many events wait."""
        return len(self._buffer)

    def deliver(self, records: Iterable[Record]) -> None:
        """Append what the consumer fetched; what was delivered before is passed over.

        After a seek the consumer may fetch again what still waits here.
        """
        for record in records:
            if record.offset >= self._next_offset:
                self._buffer.append(record)
                self._next_offset = record.offset + 1
                self.buffered_bytes += len(record.value or b"")
        self._arrived.set()

    async def run(self) -> None:
        """Settle batch after batch until told to stop."""
        while await self._has_events():
            await self.step()

    async def step(self) -> Progress:
        """Settle one batch, acknowledge what was done of it, and wait if the rest is retried."""
        batch = list(islice(self._buffer, self._batch_size))
        self.busy_since = time.monotonic()
        self._woken.clear()
        try:
            progress = await self._settle(self, batch)
        finally:
            self.busy_since = None
        for _ in range(progress.done):
            self._pass()
        self._batch_size = progress.batch_size or min(2 * self._batch_size, BATCH_SIZE)
        if progress.delay and not self.stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), progress.delay)
        return progress

    async def _has_events(self) -> bool:
        """Wait for events, and return whether they are to be settled."""
        while not (self._buffer or self.stopping.is_set()):
            self._arrived.clear()
            await self._arrived.wait()
        return not self.stopping.is_set()

    def _pass(self) -> None:
        """Acknowledge the event at the head."""
        record = self._buffer.popleft()
        self.position = record.offset + 1
        self.buffered_bytes -= len(record.value or b"")
        self.attempts.pop(record.offset, None)

    def before(self, offset: int) -> list[Record]:
        """Return what waits here from before an offset."""
        return [record for record in self._buffer if record.offset < offset]

    def wake(self) -> None:
        """End the wait that a settled batch asks for, also one that is still to begin."""
        self._woken.set()

    def stop(self) -> None:
        """End the lane after the event in hand; waits for events and backoffs end at once."""
        self.stopping.set()
        self.wake()
        self._arrived.set()


async def settle_alone(settle: Settle, record: Record) -> Outcomes:
    """Return what became of one record, settled with all its retries outside the worker's lanes."""
    lane = Lane(TP(record.topic, record.partition), settle)
    lane.deliver([record])
    while len(lane):
        progress = await lane.step()
    return progress.outcomes


class Lanes:
    """All lanes of a worker: what the consumer delivers to, and asks what it may commit."""

    def __init__(
        self,
        *,
        grace: float,
        on_crash: Callable[[BaseException], None],
        give_up: GiveUp | None = None,
    ) -> None:
        self._grace = grace
        self._on_crash = on_crash
        self._give_up = give_up
        self._settlers: dict[str, list[tuple[Settle, OpenLane]]] = {}
        self._lanes: dict[TP, list[Lane]] = {}
        self._tasks: dict[Lane, asyncio.Task[None]] = {}
        self._full: set[Lane] = set()

    def add(self, topic: str, settle: Settle, opens: OpenLane = Lane) -> None:
        """Have every partition of a topic settled by one more agent, in lanes of some kind."""
        self._settlers.setdefault(topic, []).append((settle, opens))

    def __contains__(self, topic: str) -> bool:
        """Return whether a topic belongs to checkpointed agents."""
        return topic in self._settlers

    def deliver(self, tp: TP, records: Sequence[Record]) -> None:
        """Hand the records of a partition to each of its lanes, made on the first delivery."""
        for lane in self._lanes.get(tp) or self._open(tp):
            lane.deliver(records)
            if self._load(lane) >= 1:
                self._full.add(lane)

    def full(self) -> set[TP]:
        """Return the partitions not to be fetched until their lanes have halved."""
        for lane in [lane for lane in self._full if self._load(lane) < 1 / 2]:
            self._full.discard(lane)
        return {lane.tp for lane in self._full}

    def position(self, tp: TP) -> int | None:
        """Return the offset that may be committed, None when there is nothing to commit."""
        positions = [lane.position for lane in self._lanes.get(tp, [])]
        known = [position for position in positions if position is not None]
        return min(known) if known and len(known) == len(positions) else None

    def busy(self, tp: TP) -> bool:
        """Return whether an event of a partition is not settled yet."""
        return any(len(lane) for lane in self._lanes.get(tp, []))

    def in_hand(self) -> Iterator[tuple[str, float]]:
        """Return the topic of each batch that is being settled, and for how many seconds."""
        now = time.monotonic()
        for lane in self._tasks:
            if lane.busy_since is not None:
                yield lane.tp.topic, now - lane.busy_since

    def partitions(self) -> set[TP]:
        """Return the partitions that have lanes."""
        return set(self._lanes)

    async def drain(self) -> None:
        """Stop all lanes: events in hand are settled within the grace time, then cancelled.

        What is not settled by then stays unacknowledged and is delivered again.
        """
        await self._drain(list(self._tasks))

    async def rewind(self, tp: TP, offset: int) -> None:
        """Begin a partition again at an earlier offset: what waits from there on is dropped.

        The event in hand is settled first, within the grace time.
        """
        earlier = self._lanes.get(tp, [])
        await self._drain(earlier)
        if earlier and self._lanes.get(tp) is earlier:
            self._full.difference_update(earlier)
            for lane, anew in zip(earlier, self._open(tp), strict=True):
                anew.deliver(lane.before(offset))

    def close(self) -> None:
        """Forget the lanes; the next delivery makes new ones."""
        self._lanes.clear()
        self._full.clear()

    async def _drain(self, lanes: Sequence[Lane]) -> None:
        tasks = {lane: self._tasks[lane] for lane in lanes if lane in self._tasks}
        for lane in lanes:
            lane.stop()
        if tasks:
            _, late = await asyncio.wait(tasks.values(), timeout=self._grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
            if self._give_up:
                # Not those that crashed: their events will do so again.
                await self._give_up([lane for lane in tasks if _has_ended(tasks[lane], late)])
        for lane in lanes:
            self._tasks.pop(lane, None)

    def _open(self, tp: TP) -> list[Lane]:
        settlers = self._settlers[tp.topic]
        lanes = self._lanes[tp] = [opens(tp, settle) for settle, opens in settlers]
        for lane in lanes:
            task = asyncio.create_task(lane.run(), name=f"lane {tp.topic}-{tp.partition}")
            task.add_done_callback(partial(self._ended, lane))
            self._tasks[lane] = task
        return lanes

    def _ended(self, lane: Lane, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if task.cancelled() and not lane.stopping.is_set():
            # Else a handler that cancels its own task would leave its partition standing, unsaid.
            error = RuntimeError(f"{task.get_name()} was cancelled, but not by the worker")
        if error is not None:
            logger.critical("checkpoint.lane_crashed", exc_info=error)
            self._on_crash(error)

    def _load(self, lane: Lane) -> float:
        share = len(self._tasks) or 1
        events, size = BUFFERED_EVENTS / share, BUFFERED_BYTES / share
        return max(len(lane) / events, lane.buffered_bytes / size)


def _has_ended(task: asyncio.Task[None], cancelled: Container[asyncio.Task[None]]) -> bool:
    """Return whether a task has ended as it was told to."""
    return task in cancelled if task.cancelled() else task.exception() is None
