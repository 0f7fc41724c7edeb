"""A lane keeps the order of its partition, its bounds and its promises to the consumer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from app.checkpoint.events import Record, make_record
from app.checkpoint.lanes import BATCH_SIZE, BUFFERED_BYTES, BUFFERED_EVENTS, Lane, Lanes, Progress
from tests.polling import eventually_async

ORDERS = TP("orders", 0)
OTHERS = TP("orders", 1)
WAITS = Progress(done=1, delay=3600)


def records(*offsets: int, tp: TP = ORDERS, value: bytes | None = b"{}") -> list[Record]:
    """Return records of one partition at these offsets."""
    return [
        make_record(value, topic=tp.topic, partition=tp.partition, offset=offset)
        for offset in offsets
    ]


class Settled:
    """Settles events as it is told to, and remembers the batches it was given."""

    def __init__(self, *answers: Progress) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self._answers = list(answers)

    async def __call__(self, _: Lane, batch: Sequence[Record]) -> Progress:
        """Settle the batch as the next answer says, else all of it."""
        self.batches.append([record.offset for record in batch])
        await self.open.wait()
        return self._answers.pop(0) if self._answers else Progress(done=len(batch))

    @property
    def offsets(self) -> list[int]:
        """Return all offsets that were handed over, in order."""
        return [offset for batch in self.batches for offset in batch]


def crashed(error: BaseException) -> None:
    """Fail the test: no lane was to end with an error."""
    raise error


@asynccontextmanager
async def lanes_of(*settlers: Settled, grace: float = 5.0) -> AsyncIterator[Lanes]:
    """Run lanes for the topic, one per partition and settler, and stop them at the end."""
    lanes = Lanes(grace=grace, on_crash=crashed)
    for settler in settlers:
        lanes.add(ORDERS.topic, settler)
    yield lanes
    for settler in settlers:
        settler.open.set()
    await lanes.drain()


async def position_of(lanes: Lanes, tp: TP, position: int | None) -> None:
    """Wait until so much of a partition may be committed."""

    async def reached() -> None:
        assert lanes.position(tp) == position

    await eventually_async(reached)


async def in_hand(settle: Settled) -> None:
    """Wait until a batch has been handed over."""

    async def begun() -> None:
        assert settle.batches

    await eventually_async(begun)


async def test_what_was_delivered_is_settled_in_order_and_may_be_committed() -> None:
    """The offset after the last settled event may be committed, whatever gaps lie between."""
    settle = Settled()
    async with lanes_of(settle) as lanes:
        lanes.deliver(ORDERS, records(3, 4, 9))
        await position_of(lanes, ORDERS, 10)
    assert settle.offsets == [3, 4, 9]


async def test_nothing_may_be_committed_before_anything_is_settled() -> None:
    """An event in hand holds its offset."""
    settle = Settled()
    settle.open.clear()
    async with lanes_of(settle) as lanes:
        lanes.deliver(ORDERS, records(7))
        await position_of(lanes, ORDERS, None)


async def test_an_event_that_is_delivered_again_while_it_waits_is_settled_once() -> None:
    """After a seek the consumer fetches again what a lane still holds."""
    settle = Settled()
    settle.open.clear()
    async with lanes_of(settle) as lanes:
        lanes.deliver(ORDERS, records(1, 2))
        lanes.deliver(ORDERS, records(1, 2, 3))
        settle.open.set()
        await position_of(lanes, ORDERS, 4)
    assert settle.offsets == [1, 2, 3]


async def test_a_batch_is_bounded() -> None:
    """However much waits, no more than BATCH_SIZE events are settled at once."""
    lane = Lane(ORDERS, settle := Settled())
    lane.deliver(records(*range(2 * BATCH_SIZE + 1)))
    while len(lane):
        await lane.step()
    assert [len(batch) for batch in settle.batches] == [BATCH_SIZE, BATCH_SIZE, 1]


async def test_a_lane_takes_fewer_events_when_it_is_told_to_and_then_more_again() -> None:
    """After a rollback the batch shrinks, and doubles with each step that goes well."""
    lane = Lane(ORDERS, settle := Settled(Progress(done=0, batch_size=2)))
    lane.deliver(records(*range(20)))
    for _ in range(4):
        await lane.step()
    assert [len(batch) for batch in settle.batches] == [20, 2, 4, 8]


async def test_the_rest_of_a_batch_is_taken_up_again_after_the_delay() -> None:
    """An event that is to be retried stays at the head, and what came before it is done."""
    lane = Lane(ORDERS, settle := Settled(Progress(done=1, delay=0.001)))
    lane.deliver(records(5, 6, 7))
    await lane.step()
    assert lane.position == 6
    await lane.step()
    assert settle.batches == [[5, 6, 7], [6, 7]]


async def test_a_lane_that_waits_an_hour_holds_up_no_other_and_stops_at_once() -> None:
    """A partition in backoff is one task that waits."""
    settle = Settled(Progress(done=0, delay=3600))
    async with asyncio.timeout(5), lanes_of(settle, grace=60) as lanes:
        lanes.deliver(ORDERS, records(0))
        lanes.deliver(OTHERS, records(0, tp=OTHERS))
        await position_of(lanes, OTHERS, 1)
        assert lanes.position(ORDERS) is None


async def test_an_event_in_hand_is_settled_when_the_lanes_are_drained() -> None:
    """Draining waits for what was begun, and begins nothing more."""
    settle = Settled(Progress(done=1))
    settle.open.clear()
    async with lanes_of(settle) as lanes:
        lanes.deliver(ORDERS, records(0, 1))
        await in_hand(settle)
        draining = asyncio.create_task(lanes.drain())
        await asyncio.sleep(0)
        settle.open.set()
        await draining
        assert lanes.position(ORDERS) == 1
    assert settle.batches == [[0, 1]]


async def test_an_event_that_outlasts_the_grace_time_is_not_acknowledged() -> None:
    """What is cancelled stays unacknowledged, and is delivered again."""
    settle = Settled()
    settle.open.clear()
    async with asyncio.timeout(5), lanes_of(settle, grace=0.01) as lanes:
        lanes.deliver(ORDERS, records(0))
        await in_hand(settle)
        await lanes.drain()
        assert lanes.position(ORDERS) is None


async def test_a_partition_that_comes_back_starts_anew() -> None:
    """A lane remembers nothing of the time before its partition was given up."""
    settle = Settled()
    async with lanes_of(settle) as lanes:
        lanes.deliver(ORDERS, records(5))
        await position_of(lanes, ORDERS, 6)
        await lanes.drain()
        lanes.close()
        assert (lanes.partitions(), lanes.position(ORDERS)) == (set(), None)
        lanes.deliver(ORDERS, records(3))
        await position_of(lanes, ORDERS, 4)


async def test_two_agents_on_one_topic_settle_each_event_and_the_slower_one_counts() -> None:
    """An offset is passed when every agent is done with it."""
    quick, slow = Settled(), Settled()
    slow.open.clear()
    async with lanes_of(quick, slow) as lanes:
        lanes.deliver(ORDERS, records(0, 1))

        async def quick_is_done() -> None:
            assert quick.offsets == [0, 1]

        await eventually_async(quick_is_done)
        assert lanes.position(ORDERS) is None
        slow.open.set()
        await position_of(lanes, ORDERS, 2)


@pytest.mark.parametrize(
    ("count", "value"),
    [(BUFFERED_EVENTS, b""), (4, b"x" * (BUFFERED_BYTES // 4))],
    ids=["events", "bytes"],
)
@pytest.mark.parametrize(("quarters", "full"), [(1, {ORDERS}), (3, set())])
async def test_a_full_lane_is_not_fetched_for_until_it_has_halved(
    count: int, value: bytes, quarters: int, full: set[TP]
) -> None:
    """Memory is bounded in events and in bytes, and a partition is not taken up for every event."""
    done = quarters * count // 4
    async with lanes_of(Settled(*[Progress(done=1)] * (done - 1), WAITS)) as lanes:
        lanes.deliver(ORDERS, records(*range(count), value=value))
        assert lanes.full() == {ORDERS}
        await position_of(lanes, ORDERS, done)
        assert lanes.full() == full


async def test_all_lanes_share_one_bound() -> None:
    """With more partitions each lane holds less."""
    settle = Settled()
    settle.open.clear()
    async with lanes_of(settle) as lanes:
        lanes.deliver(OTHERS, records(0, tp=OTHERS))
        lanes.deliver(ORDERS, records(*range(BUFFERED_EVENTS // 2)))
        assert lanes.full() == {ORDERS}


async def test_a_lane_that_breaks_is_reported() -> None:
    """An error that nobody foresaw must end the worker, not one partition in silence."""
    reported: list[BaseException] = []
    lanes = Lanes(grace=1, on_crash=reported.append)

    async def breaks(_: Lane, __: Sequence[Record]) -> Progress:
        raise ZeroDivisionError

    lanes.add(ORDERS.topic, breaks)
    lanes.deliver(ORDERS, records(0))

    async def is_reported() -> None:
        assert [type(error) for error in reported] == [ZeroDivisionError]

    await eventually_async(is_reported)
    await lanes.drain()
    assert lanes.position(ORDERS) is None


async def test_lanes_that_have_ended_are_given_up_and_one_that_broke_is_not() -> None:
    """Also one that was cancelled: neither will end another process, and the broken one may."""
    given_up: list[TP] = []

    async def give_up(ended: Sequence[Lane]) -> None:
        given_up.extend(lane.tp for lane in ended)

    async def settle(_: Lane, batch: Sequence[Record]) -> Progress:
        if batch[0].offset == 0:
            raise ZeroDivisionError
        if batch[0].offset == 1:
            begun.set()
            await asyncio.Event().wait()
        return Progress(done=len(batch))

    begun = asyncio.Event()
    lanes = Lanes(grace=0.01, on_crash=lambda _: None, give_up=give_up)
    lanes.add(ORDERS.topic, settle)
    tps = [TP(ORDERS.topic, partition) for partition in range(3)]
    for tp in tps:
        lanes.deliver(tp, records(tp.partition, tp=tp))
    await begun.wait()
    await position_of(lanes, tps[2], 3)
    await lanes.drain()
    assert given_up == tps[1:]


class Step(NamedTuple):
    """How much a consumer fetches and a lane settles in one go."""

    again: int
    fresh: int
    done: int
    batch_size: int | None


STEPS = st.builds(
    Step, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.none() | st.integers(1, 8)
)
EVERYTHING = Step(again=0, fresh=1000, done=1000, batch_size=None)


@settings(deadline=None)
@given(offsets=st.sets(st.integers(0, 200), min_size=1), steps=st.lists(STEPS))
async def test_every_event_is_settled_once_in_order_and_no_offset_passes_one(
    offsets: set[int], steps: list[Step]
) -> None:
    """Whatever is delivered, again or late, and however little each step does."""
    log, done, delivered = sorted(offsets), list[int](), 0

    async def settle(lane: Lane, batch: Sequence[Record]) -> Progress:
        assert lane.position == (done[-1] + 1 if done else None)
        settled = batch[: step.done]
        done.extend(record.offset for record in settled)
        return Progress(done=len(settled), batch_size=step.batch_size)

    lane = Lane(ORDERS, settle)
    for step in [*steps, EVERYTHING]:
        # What waits may be fetched again; what was acknowledged may not.
        again = min(step.again, len(lane))
        lane.deliver(records(*log[delivered - again : delivered + step.fresh]))
        delivered = min(delivered + step.fresh, len(log))
        if len(lane):
            await lane.step()
    while len(lane):
        await lane.step()
    assert done == log
    assert (lane.position, lane.buffered_bytes) == (log[-1] + 1, 0)
