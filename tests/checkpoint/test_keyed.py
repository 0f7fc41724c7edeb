"""Events of different keys are handled side by side, and nothing else is given up for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from app.checkpoint import Ack, Backoff, Breaker, Checkpoint, Metadata, Skip, ack, skip
from app.checkpoint.claims import MAX_STARTS
from app.checkpoint.database import Database
from app.checkpoint.events import Record, make_record
from app.checkpoint.keyed import opens
from app.checkpoint.lanes import BATCH_SIZE, BUFFERED_EVENTS, Lanes
from app.checkpoint.models import EventRow, FailureRow
from app.checkpoint.suspects import Suspects
from app.checkpoint.testing import database
from tests.polling import eventually_async

TOPIC = "orders"
ORDERS = TP(TOPIC, 0)
AT_ONCE = Backoff(min=0, max=0)
HOUR = Backoff(min=3600, max=3600, jitter=0)

Script = Callable[[Any, Metadata], Awaitable[Ack | Skip | None]]


class Death(BaseException):
    """The process ends."""


class Worker:
    """The lanes of one process, whose handler acts out a script."""

    def __init__(
        self,
        tables: Database,
        script: Script,
        *,
        grace: float = 10,
        careful_seconds: float = 20,
        **options: Any,
    ) -> None:
        self.tables = tables
        self.runs: list[tuple[int, int]] = []
        """Offset and attempt of each time that the handler ran."""
        self.finished: list[int] = []
        self.at_work: set[int] = set()
        self.crashes: list[BaseException] = []
        self._script = script
        checkpoint = Checkpoint("sqlite:///:memory:", backoff=AT_ONCE, ordered_by="key")
        checkpoint.database = tables
        checkpoint.suspects = Suspects(tables, checkpoint.outages, careful_seconds=careful_seconds)
        self.checkpoint = checkpoint
        self.pipeline = checkpoint(**options)(self._handle).pipeline(agent="shop", group_id="group")
        self.lanes = Lanes(
            grace=grace, on_crash=self.crashes.append, give_up=checkpoint.suspects.give_up
        )
        guarded = checkpoint.suspects.guard(self.pipeline)
        self.lanes.add(TOPIC, guarded, opens(self.pipeline, checkpoint.suspects))

    def deliver(self, *events: tuple[str | None, Any], offset: int = 0) -> None:
        """Deliver events, each a key and what is in it."""
        self.lanes.deliver(ORDERS, records(*events, offset=offset))

    @property
    def position(self) -> int | None:
        """What may be committed."""
        return self.lanes.position(ORDERS)

    async def until(self, position: int) -> None:
        """Return once so much may be committed."""

        async def reached() -> None:
            assert not self.crashes
            assert self.position == position

        await eventually_async(reached, timeout=30)

    async def until_recorded(self, *offsets: int) -> None:
        """Return once there are event rows of these, and of no others."""

        async def recorded() -> None:
            assert await self.recorded() == sorted(offsets)

        await eventually_async(recorded, timeout=30)

    async def until_at_work(self, *offsets: int) -> None:
        """Return once the handler is at work for these, and for no others."""

        async def all_of_them() -> None:
            assert self.at_work == set(offsets)

        await eventually_async(all_of_them, timeout=30)

    async def recorded(self) -> list[int]:
        """Return the offsets of the event rows."""
        async with self.tables.engine.connect() as connection:
            rows = await connection.scalars(select(EventRow.offset).order_by(EventRow.offset))
            return list(rows)

    async def failures(self) -> list[tuple[int, str, int]]:
        """Return offset, status and attempts of the failure rows."""
        columns = FailureRow.offset, FailureRow.status, FailureRow.attempts
        async with self.tables.engine.connect() as connection:
            rows = await connection.execute(select(*columns).order_by(FailureRow.offset))
            return [(row.offset, row.status, row.attempts) for row in rows]

    async def _handle(self, payload: Any, metadata: Metadata) -> Ack | Skip | None:
        offset = metadata.offset
        self.runs.append((offset, metadata.attempt))
        self.at_work.add(offset)
        try:
            answer = await self._script(payload, metadata)
        finally:
            self.at_work.remove(offset)
        self.finished.append(offset)
        return answer


def records(*events: tuple[str | None, Any], offset: int = 0) -> list[Record]:
    """Return events as the broker delivers them, each a key and what is in it."""
    return [
        make_record(
            orjson.dumps(payload),
            topic=TOPIC,
            offset=at,
            key=None if key is None else key.encode(),
        )
        for at, (key, payload) in enumerate(events, start=offset)
    ]


@asynccontextmanager
async def working(tables: Database, script: Script, **options: Any) -> AsyncIterator[Worker]:
    """Have a worker work, and stop it in order."""
    worker = Worker(tables, script, **options)
    try:
        yield worker
    finally:
        await worker.lanes.drain()
    assert worker.crashes == []


class Gate:
    """A script that waits at some events until it may go on."""

    def __init__(self, *payloads: Any) -> None:
        self.opened = asyncio.Event()
        self._payloads = payloads

    async def __call__(self, payload: Any, _: Metadata) -> Ack:
        """Acknowledge, at the gate not before it is open."""
        if payload in self._payloads:
            await self.opened.wait()
        return ack(payload, 0)


async def fine(payload: Any, _: Metadata) -> Ack:
    """Acknowledge."""
    return ack(payload, 0)


async def test_so_many_handlers_of_different_keys_are_at_work_at_once(tables: Database) -> None:
    """And no more than that; all of them are recorded."""
    gate = Gate(*range(10))
    async with working(tables, gate, concurrency=4) as worker:
        worker.deliver(*[(f"key {number}", number) for number in range(10)])
        await worker.until_at_work(0, 1, 2, 3)
        gate.opened.set()
        await worker.until(10)
    assert await worker.recorded() == list(range(10))


async def test_events_of_one_key_wait_for_each_other_and_those_without_do_not(
    tables: Database,
) -> None:
    """The broker promises no order to who sends no key, and an empty one is a key."""
    gate = Gate(*range(8))
    async with working(tables, gate) as worker:
        keys = ["a", "a", None, None, "b", "", "", "a"]
        worker.deliver(*[(key, number) for number, key in enumerate(keys)])
        await worker.until_at_work(0, 2, 3, 4, 5)
        gate.opened.set()
        await worker.until(8)


async def test_a_failing_key_holds_up_only_itself(tables: Database) -> None:
    """The others are recorded, and nothing beyond its event may be committed."""

    async def fail(payload: Any, _: Metadata) -> Ack:
        if payload == 1:
            raise LookupError(payload)
        return ack(payload, 0)

    async with working(tables, fail, backoff=HOUR) as worker:
        worker.deliver(("b", 0), ("a", 1), ("b", 2), ("a", 3), (None, 4))
        await worker.until_recorded(0, 2, 4)
        await worker.until(1)
        worker.deliver(("c", 5), ("a", 6), offset=5)
        await worker.until_recorded(0, 2, 4, 5)
    assert worker.position == 1
    assert {offset for offset, _ in worker.runs} == {0, 1, 2, 4, 5}


async def test_when_its_retries_are_used_up_its_key_goes_on(tables: Database) -> None:
    """Attempts are counted as in any lane, and the failure is recorded."""

    async def fail(payload: Any, metadata: Metadata) -> Ack:
        if payload == 0 or (payload == 2 and metadata.attempt == 1):
            raise LookupError(payload)
        return ack(payload, 0)

    async with working(tables, fail, max_retries=2) as worker:
        worker.deliver(("a", 0), ("b", 1), ("a", 2))
        await worker.until(3)
    assert await worker.failures() == [(0, "open", 3)]
    assert await worker.recorded() == [1, 2]
    of_key = [run for run in worker.runs if run[0] != 1]
    assert of_key == [(0, 1), (0, 2), (0, 3), (2, 1), (2, 2)]


async def test_a_handler_that_hangs_holds_up_only_its_key(tables: Database) -> None:
    """Past its time it has failed like any other."""
    gate = Gate(0)
    async with working(tables, gate, timeout=0.05, max_retries=1) as worker:
        worker.deliver(("a", 0), *[("b", number) for number in range(1, 5)], ("a", 5))
        await worker.until(6)
    assert await worker.failures() == [(0, "open", 2)]
    assert await worker.recorded() == [1, 2, 3, 4, 5]


async def test_what_is_in_hand_is_settled_when_a_lane_is_stopped(tables: Database) -> None:
    """Nothing more is begun, and what lies beyond an event that waits is not acknowledged."""
    gate = Gate(0, 2)

    async def script(payload: Any, metadata: Metadata) -> Ack:
        if payload == 1:
            raise LookupError(payload)
        return await gate(payload, metadata)

    async with working(tables, script, backoff=HOUR) as worker:
        worker.deliver(("a", 0), ("b", 1), ("c", 2), ("a", 3), ("c", 4))
        await worker.until_at_work(0, 2)
        draining = asyncio.create_task(worker.lanes.drain())
        await asyncio.sleep(0)
        gate.opened.set()
        await draining
        assert worker.position == 1
    assert await worker.recorded() == [0, 2]


@pytest.mark.parametrize("error", [None, ConnectionError])
async def test_what_outlasts_the_grace_time_is_cancelled_and_no_failure(
    tables: Database, error: type[Exception] | None
) -> None:
    """Whatever its handler makes of it; and no task is left behind."""

    async def wait(payload: Any, _: Metadata) -> Ack:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if error is None:
                raise
            raise error from None
        return ack(payload, 0)

    before = asyncio.all_tasks()
    async with working(tables, wait, grace=0.01, max_retries=0) as worker:
        worker.deliver(("a", 0), ("b", 1))
        await worker.until_at_work(0, 1)
        await worker.lanes.drain()
        assert worker.position is None
    assert asyncio.all_tasks() == before
    assert (await worker.recorded(), await worker.failures()) == ([], [])


async def test_a_handler_that_cancels_its_own_task_ends_the_worker_aloud(tables: Database) -> None:
    """A key must not stand still in silence; the others' handlers end with it."""

    async def cancel_self(payload: Any, _: Metadata) -> Ack:
        task = asyncio.current_task()
        assert task is not None
        if payload == 1:
            task.cancel()
        await asyncio.Event().wait()
        return ack(payload, 0)

    before = asyncio.all_tasks()
    worker = Worker(tables, cancel_self)
    worker.deliver(("a", 0), ("b", 1))
    await crash_of(worker)
    assert "cancelled, but not by the worker" in str(worker.crashes)
    await worker.lanes.drain()
    assert asyncio.all_tasks() == before


async def crash_of(worker: Worker) -> None:
    """Wait until a worker has crashed."""

    async def crashed() -> None:
        assert worker.crashes

    await eventually_async(crashed, timeout=30)


async def test_a_lane_whose_handler_ends_the_process_breaks_with_it(tables: Database) -> None:
    """What came of the others is recorded or is handled again: nothing is half done."""

    async def die(payload: Any, _: Metadata) -> Ack:
        if payload == 1:
            raise Death
        return ack(payload, 0)

    worker = Worker(tables, die)
    worker.deliver(("a", 0), ("b", 1))
    await crash_of(worker)
    await worker.lanes.drain()
    assert [type(error) for error in worker.crashes] == [Death]
    assert worker.position in {None, 1}


async def test_an_event_that_ends_each_process_becomes_a_failure(tables: Database) -> None:
    """Although others were in hand with it; until it is found, the lane works one by one."""

    async def die(payload: Any, _: Metadata) -> Ack:
        if payload == 6:
            raise Death
        await asyncio.sleep(0)
        return ack(payload, 0)

    deaths = 0
    while True:
        worker = Worker(tables, die)
        worker.deliver(*[(f"key {number % 5}", number) for number in range(12)])
        if await survives(worker):
            break
        deaths += 1
    assert deaths <= 2 + MAX_STARTS
    assert await worker.failures() == [(6, "open", MAX_STARTS)]
    assert await worker.recorded() == [number for number in range(12) if number != 6]


async def test_after_a_death_what_is_retried_for_ever_holds_up_others_for_a_while_only(
    tables: Database,
) -> None:
    """A lane is careful one event at a time, and not until an event succeeds that never may."""

    async def fail(payload: Any, _: Metadata) -> Ack:
        if payload == 0:
            raise LookupError(payload)
        return ack(payload, 0)

    async def die(_: Any, __: Metadata) -> Ack:
        raise Death

    dead = Worker(tables, die)
    dead.deliver(("a", 0))
    await crash_of(dead)
    await dead.lanes.drain()
    async with working(
        tables, fail, careful_seconds=0, max_retries=None, backoff=HOUR
    ) as successor:
        successor.deliver(("a", 0), ("b", 1), ("c", 2))
        await successor.until_recorded(1, 2)


async def survives(worker: Worker) -> bool:
    """Return whether a worker lives until everything may be committed."""

    async def ended() -> bool:
        assert worker.crashes or worker.position == 12
        return not worker.crashes

    lives = await eventually_async(ended, timeout=30)
    await worker.lanes.drain()
    return lives


async def test_what_is_recorded_is_not_handled_again(tables: Database) -> None:
    """Also what was done beyond an event that was in the way; what was skipped has left nothing."""

    async def answer(payload: Any, _: Metadata) -> Ack | None:
        if payload == 1:
            raise LookupError(payload)
        return None if payload == 3 else ack(payload, 0)

    events = [(f"key {number}", number) for number in range(5)]
    async with working(tables, answer, backoff=HOUR) as worker:
        worker.deliver(*events)
        await worker.until_recorded(0, 2, 4)
    async with working(tables, answer, max_retries=0) as successor:
        successor.deliver(*events[1:], offset=1)
        await successor.until(5)
    assert sorted(successor.runs) == [(1, 1), (3, 1)]


@pytest.mark.parametrize(
    ("first", "runs", "recorded"), [("acked", [0], [0]), ("skipped", [0, 1], [1])]
)
async def test_events_of_equal_content_are_never_at_work_at_once(
    tables: Database, first: str, runs: list[int], recorded: list[int]
) -> None:
    """The second is a duplicate of what was acknowledged, and handled after what was skipped."""
    opened = asyncio.Event()

    async def answer(_: Any, metadata: Metadata) -> Ack | Skip:
        await opened.wait()
        return skip() if first == "skipped" and metadata.offset == 0 else ack("order", 0)

    async with working(tables, answer) as worker:
        worker.deliver(("a", "twin"), ("b", "twin"), ("c", "other"))
        await worker.until_at_work(0, 2)
        opened.set()
        await worker.until(3)
    assert [offset for offset, _ in worker.runs if offset != 2] == runs
    assert await worker.recorded() == [*recorded, 2]


async def test_a_success_of_equal_content_resolves_the_failure(tables: Database) -> None:
    """The second is handled when the first has failed for good, as in any lane."""

    async def answer(_: Any, metadata: Metadata) -> Ack:
        if metadata.offset == 0:
            raise LookupError
        return ack("order", 0)

    async with working(tables, answer, max_retries=1) as worker:
        worker.deliver(("a", "twin"), ("b", "twin"))
        await worker.until(2)
    assert worker.runs == [(0, 1), (0, 2), (1, 1)]
    assert await worker.failures() == [(0, "resolved", 2)]
    assert await worker.recorded() == [1]


async def test_a_database_that_is_away_costs_no_event(tables: Database) -> None:
    """No more is handled meanwhile than would be handled again after a crash."""
    count = 2 * BATCH_SIZE
    gate = Gate(*range(count))
    async with working(tables, gate) as worker:
        worker.deliver(*[(None, number) for number in range(count)])
        await worker.until_at_work(*range(32))
        async with tables.engine.begin() as connection:
            await connection.execute(text("ALTER TABLE checkpoint_events RENAME TO moved"))
        gate.opened.set()

        async def stands_still() -> None:
            assert worker.checkpoint.outages.since is not None

        await eventually_async(stands_still, timeout=30)
        assert 32 <= len(worker.finished) <= BATCH_SIZE
        assert worker.position is None
        async with tables.engine.begin() as connection:
            await connection.execute(text("ALTER TABLE moved RENAME TO checkpoint_events"))
        await worker.until(count)
    assert sorted(worker.runs) == [(number, 1) for number in range(count)]


async def test_a_row_that_the_database_refuses_is_a_failure_of_its_event_alone() -> None:
    """Those recorded with it stay."""
    refuse = (
        "CREATE TRIGGER refuse BEFORE INSERT ON checkpoint_events WHEN NEW.entity_id = '1'"
        " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
    )
    async with database() as tables:
        async with tables.engine.begin() as connection:
            await connection.execute(text(refuse))
        async with working(tables, fine) as worker:
            worker.deliver(*[(f"key {number}", number) for number in range(3)])
            await worker.until(3)
        assert await worker.failures() == [(1, "open", 1)]
        assert await worker.recorded() == [0, 2]


async def test_while_every_key_fails_alike_one_event_at_a_time_is_tried(tables: Database) -> None:
    """All keys go on as soon as one succeeds; no more have failed than the breaker allows."""
    down, at_work = True, set[int]()

    async def ask(payload: Any, _: Metadata) -> Ack:
        pause = worker.pipeline.circuit.pause
        if pause is not None and pause.probes:
            at_work.add(len(worker.at_work))
        await asyncio.sleep(0)
        if down:
            raise ConnectionRefusedError(payload)
        return ack(payload, 0)

    breaker = Breaker(failures=3, probe=Backoff(min=0.001, max=0.001))
    async with working(tables, ask, max_retries=3, breaker=breaker) as worker:
        worker.deliver(*[(f"key {number}", number) for number in range(100)])

        async def is_probed() -> None:
            pause = worker.pipeline.circuit.pause
            assert pause is not None
            assert pause.probes >= 5

        await eventually_async(is_probed, timeout=30)
        down = False
        await worker.until(100)
    assert len(await worker.failures()) == 3
    assert at_work == {1}


async def test_what_is_done_beyond_an_event_that_waits_counts_as_waiting() -> None:
    """Else a key that is retried for an hour would let memory grow."""
    gate = Gate(0)
    count = BUFFERED_EVENTS
    async with database() as tables, working(tables, gate, identity="offset") as worker:
        worker.deliver(("a", 0), *[("b", 1)] * (count - 1))

        async def all_but_one() -> None:
            assert len(worker.finished) == count - 1

        await eventually_async(all_but_one, timeout=60)
        assert worker.lanes.full() == {ORDERS}
        gate.opened.set()
        await worker.until(count)
        assert worker.lanes.full() == set()


class Chance:
    """A handler that takes its time and fails as often as it is told to."""

    def __init__(self, failing: dict[int, int], waits: dict[int, int]) -> None:
        self._failing, self._waits = failing, waits

    async def __call__(self, payload: Any, metadata: Metadata) -> Ack | None:
        """Wait some turns of the loop, and fail or not."""
        for _ in range(self._waits.get(metadata.offset, 0)):
            await asyncio.sleep(0)
        if metadata.attempt <= self._failing.get(metadata.offset, 0):
            raise LookupError(payload)
        return None if payload == "skipped" else ack(str(payload), 0)


COUNT = 16
OFFSETS = st.integers(0, COUNT - 1)


@settings(deadline=None, max_examples=50)
@given(
    keys=st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=COUNT, max_size=COUNT),
    failing=st.dictionaries(OFFSETS, st.integers(1, 3)),
    waits=st.dictionaries(OFFSETS, st.integers(1, 30)),
    concurrency=st.integers(1, 5),
)
async def test_the_order_of_each_key_is_kept_and_no_offset_passes_an_event(
    keys: list[str | None],
    failing: dict[int, int],
    waits: dict[int, int],
    concurrency: int,
) -> None:
    """Whoever fails or takes long, and however many are at work."""
    chance = Chance(failing, waits)

    async def script(payload: Any, metadata: Metadata) -> Ack | None:
        assert len(worker.at_work) <= concurrency
        assert (worker.position or 0) <= min(worker.at_work)
        return await chance(payload, metadata)

    async with (
        database() as tables,
        working(tables, script, max_retries=2, concurrency=concurrency) as worker,
    ):
        worker.deliver(*[(key, number) for number, key in enumerate(keys)])
        await worker.until(COUNT)
        lost = [offset for offset, times in sorted(failing.items()) if times > 2]
        assert [offset for offset, *_ in await worker.failures()] == lost
        assert await worker.recorded() == [at for at in range(COUNT) if at not in lost]
    for at, key in enumerate(keys):
        assert worker.runs.count((at, 1)) == 1
        before = [other for other in range(at) if key is not None and keys[other] == key]
        begun = worker.runs.index((at, 1))
        assert not any(offset in before for offset, _ in worker.runs[begun:])
