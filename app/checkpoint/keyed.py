"""A lane for handlers that wait: only events of one key keep their order.

It takes up what was delivered, asks the database about it, has up to so many handlers at work side
by side, and records whatever they have answered since the last time in one transaction. These go on
at once and wait for each other as little as they can. The offset that may be committed passes no
event that is not settled, so that a crash costs what it costs other lanes: what had not been
recorded is handled again, and of what had been, only that is handled again which left no row.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from math import inf

from faust.types import TP

from app.checkpoint.attempts import Answer, FailedAttempt, cancellations
from app.checkpoint.crew import Crew
from app.checkpoint.events import Record
from app.checkpoint.lanes import BATCH_SIZE, Lane, Settle
from app.checkpoint.pipeline import BATCH_SECONDS, Pipeline
from app.checkpoint.store import Outcomes
from app.checkpoint.suspects import Suspects
from app.checkpoint.turns import Turn, Turns


class KeyedLane(Lane):
    """Works off one partition for one agent, events of different keys side by side."""

    def __init__(self, tp: TP, settle: Settle, *, pipeline: Pipeline, suspects: Suspects) -> None:
        super().__init__(tp, settle)
        self._pipeline = pipeline
        self._suspects = suspects
        self._new: deque[Record] = deque()  # Delivered, and not taken up.
        self._turns = Turns()
        self._answered: list[Turn] = []
        self._outcomes = Outcomes()  # Of those, to be recorded.
        self._done: set[int] = set()  # Offsets of what is settled beyond the position.
        self._closes_at = 0.0

    def deliver(self, records: Iterable[Record]) -> None:
        """Append what the consumer fetched; what was delivered before is passed over."""
        before = len(self)
        super().deliver(records)
        self._new.extend(self._buffer[at] for at in range(before - len(self), 0))
        self.wake()

    async def run(self) -> None:
        """Settle events until told to stop, one by one while a process killer may be among them."""
        while await self._has_events() and not await self._suspects.trusts(self._pipeline, self):
            progress = await self.step()
            for _ in range(progress.done):
                self._new.popleft()
        async with Crew(self.wake) as crew:
            while not self.stopping.is_set() or self._turns.in_hand:
                self._woken.clear()
                seconds = self._go_on(crew)
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._woken.wait()

    def _go_on(self, crew: Crew) -> float | None:
        """Start what can be done now; return the seconds after which to look again."""
        now, turns = time.monotonic(), self._turns
        self.busy_since = next(iter(turns.in_hand.values()), None)
        look_at = turns.recall(now)
        if self._answered and not crew.count("record"):
            crew.start("record", self._record())
        if self.stopping.is_set():
            return None
        is_short = self._new and len(turns.ready) < BATCH_SIZE
        if (is_short or turns.unknown) and not crew.count("take up"):
            crew.start("take up", self._take_up())
        if turns.ready and self._may_begin(crew):
            pause = self._pipeline.circuit.delay(self)
            if pause:
                look_at = min(look_at, now + pause)
            else:
                self._put_to_work(crew)
        return None if look_at == inf else look_at - now

    def _put_to_work(self, crew: Crew) -> None:
        most = self._pipeline.handler.options.side_by_side
        for _ in range(min(len(self._turns.ready), most - crew.count("work"))):
            crew.start("work", self._work(crew))

    def _may_begin(self, crew: Crew) -> bool:
        # What is answered and not recorded would be handled again after a crash.
        is_bounded = len(self._turns.in_hand) < BATCH_SIZE
        return is_bounded and not (crew.is_over or self.stopping.is_set())

    async def _take_up(self) -> None:
        if len(self._turns.ready) < BATCH_SIZE:
            count = min(BATCH_SIZE, len(self._new))
            records = [self._new.popleft() for _ in range(count)]
            for event in await self._pipeline.identify(records):
                self._turns.add(event)
        taken = self._turns.take_unknown(BATCH_SIZE)
        if taken:
            known = await self._pipeline.look_up([turn.event for turn in taken])
            self._turns.know(taken, known, time.monotonic())

    async def _work(self, crew: Crew) -> None:
        while self._may_begin(crew) and not self._pipeline.circuit.delay(self):
            turn = self._turns.begin(time.monotonic())
            if turn is None:
                return
            await self._handle(turn)
            self.wake()
            if time.monotonic() > self._closes_at:
                # A handler that never waits would keep everybody else from going on.
                await asyncio.sleep(0)

    async def _handle(self, turn: Turn) -> None:
        event = turn.event
        if turn.known.settled(event):
            self._outcomes.duplicates.append(event)
        else:
            earlier = self.attempts.get(event.record.offset)
            answer: Answer
            if earlier is not None and not earlier.due(time.monotonic()):
                answer = earlier
            else:
                answer = await self._pipeline.attempt(event, earlier, None)
            if not isinstance(answer, FailedAttempt):
                self._outcomes.succeeded(event, answer, turn.known)
                self._pipeline.circuit.succeeded += 1
            elif self._fails(turn, answer):
                self._outcomes.failed.append(answer)
            else:
                return
        self._turns.answered(turn)
        self._answered.append(turn)

    def _fails(self, turn: Turn, failed: FailedAttempt) -> bool:
        """Return whether an event is a failure now; else it is to be tried again."""
        self.attempts[turn.event.record.offset] = failed
        if failed.retry_at is not None:
            self._turns.retry(turn, failed.retry_at)
            return False
        # A handler that turns its cancellation into an error of its own has not failed.
        return not (self.stopping.is_set() and cancellations())

    async def _record(self) -> None:
        """Record what was answered, and acknowledge what has nothing unsettled before it."""
        answered, outcomes = self._answered, self._outcomes
        self._answered, self._outcomes = [], Outcomes()
        self._closes_at = time.monotonic() + BATCH_SECONDS
        since = min(self._turns.in_hand[turn] for turn in answered)
        await self._pipeline.conclude(outcomes, self.attempts, since)
        for turn in answered:
            self._turns.settled(turn)
            offset = turn.event.record.offset
            self._done.add(offset)
            # What is done must not be kept longer than what is handled in order.
            self.attempts.pop(offset, None)
        while self._buffer and self._buffer[0].offset in self._done:
            self._done.discard(self._buffer[0].offset)
            self._pass()


def opens(pipeline: Pipeline, suspects: Suspects) -> Callable[[TP, Settle], Lane]:
    """Return what opens the lanes of an agent, of the kind that its options ask for."""
    if pipeline.handler.options.ordered_by == "partition":
        return Lane
    return partial(KeyedLane, pipeline=pipeline, suspects=suspects)
