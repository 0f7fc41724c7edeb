"""Our consumer loses nothing where Faust's own does, and goes on where that one stands still."""

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import pytest
from confluent_kafka import Consumer as Reader
from confluent_kafka import KafkaError, Producer, TopicPartition
from faust.types import StreamT
from hypothesis import given
from hypothesis import strategies as st

from app.checkpoint.consumer import IDLE_SECONDS, Delivered, fits
from app.checkpoint.lanes import BUFFERED_EVENTS
from tests.checkpoint.mock_kafka import MockKafka
from tests.checkpoint.service import Hold, Log, Plain, Service, tp_of
from tests.checkpoint.upstream import DIGESTS, digest
from tests.polling import eventually, eventually_async
from tests.servers import Kafka

_T = TypeVar("_T")

CONSUMERS = pytest.mark.parametrize("ours", [False, True], ids=["stock", "ours"])


@pytest.mark.parametrize(
    ("module", "method"),
    [(module, method) for module, methods in DIGESTS.items() for method in methods],
)
def test_upstream_is_as_it_was_when_our_consumer_was_made(module: str, method: str) -> None:
    """What we replace or rely on must not change without our looking at it."""
    package = "aiokafka" if module.startswith("aiokafka") else "faust-streaming"
    found = digest(module, method)
    assert found == DIGESTS[module][method], (
        f"{module}.{method} is another in {package} {version(package)}: read what has changed,"
        f" adapt app/checkpoint/consumer.py, then write {found} in tests/checkpoint/upstream.py"
    )


@pytest.mark.parametrize(
    ("installed", "fitting"), [("0.15.3", True), ("0.16.0", False), ("0.1.5", False)]
)
def test_other_versions_of_faust_are_told_apart(installed: str, *, fitting: bool) -> None:
    """The methods that are replaced belong to one minor version."""
    assert fits(installed) is fitting


class Transactions:
    """Writes to a topic in transactions: each end of one leaves a marker, an offset of no event."""

    def __init__(self, log: Log) -> None:
        self._topic = log.topic
        settings = {"bootstrap.servers": log.bootstrap, "transactional.id": log.topic}
        self._producer = Producer(settings)
        self._producer.init_transactions()

    def write(self, *values: bytes, commit: bool = True) -> None:
        """Write the values in one transaction, and commit or abort it."""
        self._producer.begin_transaction()
        for value in values:
            self._producer.produce(self._topic, value, partition=0)
        self._producer.flush()
        if commit:
            self._producer.commit_transaction()
        else:
            self._producer.abort_transaction()


def with_markers(kafka: Kafka) -> Log:
    """Return a topic with transactions of one event, and one that was aborted."""
    log = Log(kafka.bootstrap, kafka)
    transactions = Transactions(log)
    transactions.write(b"0", b"1")
    transactions.write(b"2")
    transactions.write(b"3", b"4", commit=False)
    transactions.write(b"5", b"6")
    return log


def compacted(kafka: Kafka) -> Log:
    """Return a topic of which compaction has really removed events in the middle."""
    config = {"cleanup.policy": "compact", "segment.ms": "50", "min.cleanable.dirty.ratio": "0.01"}
    log = Log(kafka.bootstrap, kafka, config=config)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    numbers = iter(range(10_000))

    def write(key: bytes) -> None:
        producer.produce(log.topic, str(next(numbers)).encode(), key, partition=0)
        assert producer.flush(30) == 0

    write(b"once")
    write(b"once, too")
    for _ in range(5):
        write(b"often")

    def removed() -> None:
        # A segment is closed, and so may be compacted, when a later event is written.
        write(b"later")
        assert live_offsets(log)[2] > 2

    eventually(removed, timeout=60, interval=0.3)
    return log


GAPS = pytest.mark.parametrize("written", [with_markers, compacted])


def live_offsets(log: Log) -> list[int]:
    """Return the offsets at which somebody who reads what is committed finds events."""
    reader = Reader(
        {"bootstrap.servers": log.bootstrap, "group.id": "none", "enable.partition.eof": True}
    )
    reader.assign([TopicPartition(log.topic, 0, 0)])
    offsets: list[int] = []
    while (message := reader.poll(10)) is not None and message.error() is None:
        offsets.append(message.offset() or 0)
    assert message is not None
    error = message.error()
    assert error is not None
    assert error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - its public name
    reader.close()
    return offsets


@CONSUMERS
async def test_no_offset_passes_one_unfinished_event(
    kafka: Kafka, tmp_path: Path, *, ours: bool
) -> None:
    """Faust commits 3 when 1 is in hand, since a distance of 1 is not above 1."""
    log = Log(kafka.bootstrap, kafka)
    log.produce(b"0", b"1", b"2")
    plain = Plain(log, tmp_path, unfinished=1, ours=ours)
    async with plain.running():
        await plain.wait_until_seen(2)
        await plain.wait_until_committed(log, 1 if ours else 3)


@GAPS
@CONSUMERS
async def test_a_gap_does_not_swallow_the_event_behind_it(
    kafka: Kafka, tmp_path: Path, written: Callable[[Kafka], Log], *, ours: bool
) -> None:
    """Faust takes the first event after a gap for a part of it, and so for acknowledged."""
    log = await asyncio.to_thread(written, kafka)
    _, before, behind, *_, last = await asyncio.to_thread(live_offsets, log)
    assert behind > before + 1
    plain = Plain(log, tmp_path, unfinished=behind, ours=ours)
    async with plain.running():
        await plain.wait_until_seen(last)
        await plain.wait_until_committed(log, before + 1 if ours else last + 1)


@GAPS
async def test_every_event_between_gaps_is_recorded_and_no_lag_is_left(
    kafka: Kafka, sqlite_url: str, tmp_path: Path, written: Callable[[Kafka], Log]
) -> None:
    """Aborted messages have never happened, and a marker behind the last event is no lag."""
    log = await asyncio.to_thread(written, kafka)
    live = await asyncio.to_thread(live_offsets, log)
    async with Service(log, sqlite_url, tmp_path).running() as service:
        await log.wait_until_committed()
        assert await service.recorded_offsets() == live


async def test_what_comes_to_nothing_later_leaves_no_lag(
    kafka: Kafka, sqlite_url: str, tmp_path: Path
) -> None:
    """Of a fetch that found nothing but an aborted transaction, the position counts."""
    log = Log(kafka.bootstrap, kafka)
    transactions = await asyncio.to_thread(Transactions, log)
    await asyncio.to_thread(transactions.write, b"0")
    async with Service(log, sqlite_url, tmp_path).running() as service:
        await service.wait_until_handled(0)
        await log.wait_until_committed()
        before = await log.ends()
        await asyncio.to_thread(transactions.write, b"1", commit=False)
        assert await log.ends() != before
        await log.wait_until_committed()
        assert await service.recorded() == [0]


async def test_idle_partitions_hold_up_no_other_for_long(
    kafka: Kafka, sqlite_url: str, tmp_path: Path
) -> None:
    """A broker has one request at a time, and keeps it for so long if its partitions are idle."""
    log = Log(kafka.bootstrap, kafka)
    async with Service(log, sqlite_url, tmp_path).running() as service:
        consumer: Any = service.app.consumer
        fetcher = consumer._thread._ensure_consumer()._fetcher  # noqa: SLF001 - no public name
        assert fetcher._fetch_max_wait_ms == IDLE_SECONDS * 1000  # noqa: SLF001 - the same


@CONSUMERS
async def test_an_event_costs_no_task(kafka: Kafka, tmp_path: Path, *, ours: bool) -> None:
    """Faust starts four asyncio tasks for each."""
    log = Log(kafka.bootstrap, kafka)
    events = 1000
    log.produce(*(b"%d" % number for number in range(events)))
    tasks = 0

    def counting(
        loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, _T], **options: Any
    ) -> asyncio.Task[_T]:
        nonlocal tasks
        tasks += 1
        return asyncio.Task(coroutine, loop=loop, **options)

    asyncio.get_running_loop().set_task_factory(counting)  # type: ignore[arg-type]
    if ours:
        async with Service(log, "sqlite:///:memory:", tmp_path).running() as service:
            await service.wait_until_handled(*range(events))
    else:
        async with Plain(log, tmp_path, unfinished=None, ours=False).running() as plain:
            await plain.wait_until_seen(events - 1)
    assert (tasks < events / 4) if ours else (tasks >= 4 * events)


@given(deliveries=st.lists(st.integers(1, 5)), order=st.randoms(), asked=st.integers(1, 4))
def test_a_plain_agent_may_acknowledge_in_any_order(
    deliveries: list[int], order: random.Random, asked: int
) -> None:
    """The offset that may be committed never passes an event in hand, and reaches the end."""
    delivered, acknowledged = Delivered(), set[int]()
    offsets = list(itertools.accumulate(deliveries))
    for offset in offsets:
        delivered.add(offset)
    in_hand = order.sample(offsets, len(offsets))
    for number in range(len(offsets)):
        acknowledged.add(in_hand.pop())
        if number % asked == 0:
            position = delivered.position(acknowledged)
            assert position is None or position <= min(in_hand, default=offsets[-1] + 1)
    assert delivered.position(acknowledged) == (offsets[-1] + 1 if offsets else None)
    assert not acknowledged


async def test_plain_agents_timers_tasks_and_tables_work_beside_a_checkpointed_agent(
    kafka: Kafka, sqlite_url: str, tmp_path: Path
) -> None:
    """What is not decorated goes Faust's way, and is committed to the end as well."""
    log, others = Log(kafka.bootstrap, kafka), Log(kafka.bootstrap, kafka)
    service = Service(log, sqlite_url, tmp_path)
    app = service.app
    kafka.create_topic(f"{log.group}-sums-changelog", 1)
    sums = app.Table("sums", default=int, partitions=1)
    done: set[str] = set()

    @app.agent(app.topic(others.topic, value_serializer="json"))
    async def add(numbers: StreamT[int]) -> None:
        async for number in numbers:
            sums["all"] += number

    async def tick() -> None:
        done.add("timer")

    async def once() -> None:
        done.add("task")

    app.timer(0.01)(tick)
    app.task(once)
    log.produce(b"1", b"2")
    others.produce(b"3", b"4")

    async def everything_happened() -> None:
        assert done == {"timer", "task"}
        assert sums["all"] == 7
        committed = await asyncio.to_thread(kafka.committed, log.group)
        assert committed == {(log.topic, 0): 2, (others.topic, 0): 2}

    async with service.running():
        await service.wait_until_handled(1, 2)
        await eventually_async(everything_happened, timeout=30)


async def test_a_full_lane_holds_up_its_own_partition_only(
    kafka: Kafka, sqlite_url: str, tmp_path: Path
) -> None:
    """Memory is bounded, others go on, and what is full is fetched again later."""
    log, hold = Log(kafka.bootstrap, kafka, partitions=2), Hold(0)
    first = range(BUFFERED_EVENTS + BUFFERED_EVENTS // 2)
    # So long that one fetch cannot hold them all.
    log.produce(*(b"%0100d" % number for number in first))
    async with Service(log, sqlite_url, tmp_path, hold=hold, skip=True).running() as service:

        async def full() -> None:
            assert service.consumer.lanes.full() == {tp_of(log)}

        await eventually_async(full, timeout=30)
        log.produce(b"-1", partition=1)
        await service.wait_until_handled(0, -1)
        assert (await service.consumer.position(tp_of(log)) or 0) < first[-1]
        hold.release.set()
        await service.wait_until_handled(-1, *first)
        await log.wait_until_committed()


async def test_the_group_sees_us_poll_while_every_lane_is_full(
    kafka: Kafka, sqlite_url: str, tmp_path: Path
) -> None:
    """Else the worker would have to leave its group after `broker_max_poll_interval`."""
    log, hold = Log(kafka.bootstrap, kafka), Hold(0)
    log.produce(*(b"%d" % number for number in range(BUFFERED_EVENTS + 1000)))
    async with Service(log, sqlite_url, tmp_path, hold=hold, skip=True).running() as service:
        # What the client looks at before each heartbeat, and has no public name.
        thread = service.consumer._thread  # noqa: SLF001
        subscription = thread._ensure_consumer()._subscription  # noqa: SLF001

        async def polling() -> None:
            assert service.consumer.lanes.full() == {tp_of(log)}
            assert subscription.fetcher_idle_time == 0

        for _ in range(20):
            await eventually_async(polling, timeout=30)
            await asyncio.sleep(0)
        hold.release.set()


async def test_what_is_fetched_while_the_flow_is_stopped_is_not_lost(
    kafka: Kafka, sqlite_url: str, tmp_path: Path
) -> None:
    """In a rebalance records may come in early, and a new group has no offset to seek back to."""
    log = Log(kafka.bootstrap, kafka)
    async with Service(log, sqlite_url, tmp_path).running() as service:
        consumer, tp = service.consumer, tp_of(log)

        def fetched() -> None:
            assert consumer.highwater(tp) == 5

        # All of it in one step of our loop: the thread that fetches goes on, we do not.
        log.produce(*(b"%d" % number for number in range(5)))
        eventually(fetched)
        consumer.stop_flow()
        await consumer.perform_seek()
        consumer.resume_flow()
        await service.wait_until_handled(*range(5))


async def test_an_event_that_is_fetched_again_is_handled_once(
    kafka: Kafka, sqlite_url: str, tmp_path: Path
) -> None:
    """Seeking to the committed offsets brings again what waits in a lane."""
    log, hold = Log(kafka.bootstrap, kafka), Hold(1)
    log.produce(b"0")
    async with Service(log, sqlite_url, tmp_path, hold=hold).running() as service:
        await log.wait_until_committed()
        log.produce(b"1", b"2")
        await hold.reached.wait()
        await service.consumer.perform_seek()
        log.produce(b"3")

        async def all_fetched() -> None:
            assert await service.consumer.position(tp_of(log)) == 4

        await eventually_async(all_fetched)
        hold.release.set()
        await service.wait_until_handled(0, 1, 2, 3)
        await log.wait_until_committed()


async def test_a_topic_that_is_made_anew_is_read_from_its_beginning(
    kafka: Kafka, sqlite_url: str, tmp_path: Path
) -> None:
    """Its offsets begin again below those that the lane has seen, and so do the commits."""
    log = Log(kafka.bootstrap, kafka)
    log.produce(*(b"%d" % number for number in range(5)))
    # By default, a worker looks for topics that it misses every five minutes.
    service = Service(log, sqlite_url, tmp_path, consumer_metadata_max_age_ms=200)
    async with service.running():
        await log.wait_until_committed()
        await asyncio.to_thread(log.make_anew)
        log.produce(b"5", b"6")
        await service.wait_until_handled(*range(7))
        await log.wait_until_committed()


async def test_a_partition_can_be_sought_back(
    kafka: Kafka, sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What waits from before that offset is settled, what lies behind it once more."""
    log, hold = Log(kafka.bootstrap, kafka), Hold(1)
    log.produce(b"0")
    async with Service(log, sqlite_url, tmp_path, hold=hold, skip=True).running() as service:
        await log.wait_until_committed()
        log.produce(b"1", b"2", b"3")
        await hold.reached.wait()
        await service.consumer.seek(tp_of(log), 3)
        log.produce(b"4")

        async def rewound() -> None:
            assert any("checkpoint.partition_rewound" in message for message in caplog.messages)

        await eventually_async(rewound)
        hold.release.set()
        await service.wait_until_handled(0, 1, 2, 3, 4)
        await log.wait_until_committed()
        await service.consumer.seek(tp_of(log), 0)
        await service.wait_until_handled(*range(5), *range(5))
        await log.wait_until_committed()


async def test_events_that_kafka_has_deleted_hold_nothing_up(
    kafka: Kafka, sqlite_url: str, tmp_path: Path
) -> None:
    """The worker goes on at the oldest event that is left."""
    log = Log(kafka.bootstrap, kafka)
    log.produce(b"0")
    async with Service(log, sqlite_url, tmp_path).running():
        await log.wait_until_committed()
    log.produce(b"1", b"2", b"3")
    await asyncio.to_thread(log.delete_before, 3)
    async with Service(log, sqlite_url, tmp_path).running() as service:
        await service.wait_until_handled(3)
        await log.wait_until_committed()


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(15, id="coordinator not available", marks=pytest.mark.full),
        pytest.param(16, id="not coordinator"),
        pytest.param(22, id="illegal generation", marks=pytest.mark.full),
        pytest.param(25, id="unknown member"),
        pytest.param(27, id="rebalance in progress"),
    ],
)
async def test_a_commit_that_failed_is_made_up_for(
    sqlite_url: str, tmp_path: Path, error: int
) -> None:
    """An offset that the broker did not take is committed later, and its event is recorded once."""
    with MockKafka() as kafka:
        log = Log(kafka.bootstrap)
        log.produce(b"0", b"1")
        # Longer than the mock waits for more members before it forms a group: 3 s.
        service = Service(
            log, sqlite_url, tmp_path, broker_session_timeout=6, broker_heartbeat_interval=0.2
        )
        async with service.running():
            kafka.refuse_commits(error, times=2)
            await service.wait_until_handled(0, 1)

            async def committed() -> None:
                assert await asyncio.to_thread(kafka.committed, log) == 2

            await eventually_async(committed, timeout=30)
            assert await service.recorded() == [0, 1]


async def test_partitions_change_hands_without_an_event_handled_twice(
    kafka: Kafka, sqlite_url: str, tmp_path: Path
) -> None:
    """What is in hand is settled and committed before another worker gets the partition."""
    log = Log(kafka.bootstrap, kafka, partitions=2)
    numbers = itertools.count()

    def produce() -> None:
        for _ in range(200):
            log.produce(b"%d" % next(numbers), partition=next(sides))

    sides = itertools.cycle([0, 1])
    async with Service(log, sqlite_url, tmp_path).running() as old:
        produce()
        async with Service(log, sqlite_url, tmp_path).running() as new:
            await asyncio.to_thread(produce)

            async def shared() -> None:
                await asyncio.to_thread(produce)
                assert new.handled

            await eventually_async(shared, timeout=30)
        await asyncio.to_thread(produce)

        async def everything_is_handled() -> None:
            assert len(old.handled) + len(new.handled) >= total

        total = next(numbers)
        await eventually_async(everything_is_handled, timeout=30)
        assert sorted(old.handled + new.handled) == list(range(total))
        await log.wait_until_committed()


async def test_an_event_that_outlasts_the_grace_time_goes_to_the_next_worker(
    kafka: Kafka, sqlite_url: str, tmp_path: Path
) -> None:
    """It is cancelled and stays unacknowledged, and the worker ends all the same."""
    log, hold = Log(kafka.bootstrap, kafka), Hold(1)
    log.produce(b"0")
    async with Service(log, sqlite_url, tmp_path, hold=hold, grace=0.1).running() as old:
        await log.wait_until_committed()
        log.produce(b"1", b"2")
        await hold.reached.wait()
    assert (old.handled, await log.committed()) == ([0, 1], {0: 1})
    async with Service(log, sqlite_url, tmp_path).running() as new:
        await new.wait_until_handled(1, 2)
        await log.wait_until_committed()
        assert await new.recorded() == [0, 1, 2]
