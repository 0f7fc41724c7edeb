"""Faust's Kafka consumer with a lean fetch loop and offsets that never pass an unfinished event.

What is replaced of faust-streaming 0.15, and why; `tests/checkpoint/test_consumer.py` shows each
on the stock consumer and fails when upstream changes one of these methods:

- `_drain_messages` starts four asyncio tasks for each message. Here the records of a checkpointed
  partition go to its lanes in one call.
- `getmany` throws away what was fetched while partitions changed hands, and seeks back only where
  the group has committed something. Here it is kept when its partition is, and else another's.
- `_new_offset` commits past one unfinished event, and `_add_gap` counts the live message as part of
  the gap that compaction or a transaction marker left before it. Here an offset may be committed
  when every event delivered before it is acknowledged, whatever gaps lie between or behind.
- `_should_commit` never goes back, as a partition does whose topic was made anew.
- `_commit_offsets` remembers an offset as committed although the commit failed.
- `_commit` waits for a broker that is away, and with it whoever wants the worker to end;
  `on_thread_stop` breaks off where aiokafka's own cancelled fetch comes out of its stop.
- `wait_empty` knows nothing of lanes: they are drained first.
- `_create_worker_consumer` would deliver the messages of aborted transactions, and have a partition
  whose lane was full wait for those that are idle: one request a broker, of 1.5 seconds.
"""

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import ConsumerStoppedError
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka
from faust.types import TP

from app.checkpoint.events import Record
from app.checkpoint.lanes import Lanes
from app.checkpoint.notifications import log

TESTED_FAUST = "0.15."
"""Versions whose methods are replaced here."""
POLL_SECONDS = 1.0
"""Longest wait for records in one fetch."""
FULL_POLL_SECONDS = 0.05
"""The same while a lane is full: so late may its partition be fetched again at most."""
IDLE_SECONDS = 0.1
"""How long a broker keeps a request for partitions that have nothing new."""
COMMIT_SECONDS = 5.0
"""How long a commit may take; what it was to commit is tried again with the next one."""
NO_PARTITION = TP("", -1)
"""Fetched when every lane is full: the group must see us poll, and nothing may come of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What one fetch brought."""

    records: dict[TP, list[Record]]
    positions: dict[TP, int]
    """Of each partition asked for: where the next fetch begins, past all markers and gaps."""
    assignment: Any
    """The assignment that it was fetched under; a new one begins at the committed offsets."""


class Delivered:
    """The offsets of one partition that a plain agent has not acknowledged yet, in order."""

    def __init__(self) -> None:
        self._offsets: deque[int] = deque()
        self._position: int | None = None

    def add(self, offset: int) -> None:
        """Remember that an event was delivered."""
        self._offsets.append(offset)

    def position(self, acknowledged: set[int]) -> int | None:
        """Return the offset that may be committed, and forget what was acknowledged before it."""
        while self._offsets and self._offsets[0] in acknowledged:
            self._position = self._offsets[0] + 1
            acknowledged.discard(self._offsets.popleft())
        return self._position


class ConsumerThread(aiokafka.AIOKafkaConsumerThread):
    """Faust's thread that speaks to Kafka; tells more of a fetch than its records."""

    async def fetch(self, partitions: set[TP], timeout: float) -> Fetched:  # noqa: ASYNC109 - aiokafka's
        """Wait for records of these partitions for at most so many seconds."""
        fetched: Fetched = await self.call_thread(self._fetch, partitions, timeout)
        return fetched

    def assignment_in_force(self) -> Any:
        """Return the assignment that holds now, an object that is replaced by each rebalance."""
        subscription = self._ensure_consumer()._subscription.subscription  # noqa: SLF001 - not public
        return subscription and subscription.assignment

    async def _fetch(self, partitions: set[TP], seconds: float) -> Fetched:
        consumer = self._ensure_consumer()
        found = await self._fetch_records(consumer, partitions, seconds)
        # Nothing is awaited from here on: the positions are those right behind the records.
        assignment = self.assignment_in_force()
        positions = {}
        for tp in partitions if assignment else ():
            state = assignment.state_value(tp)
            if state and state.has_valid_position:
                positions[tp] = state.position
        records = {ensure_TP(tp): of_partition for tp, of_partition in found.items()}
        for tp, of_partition in records.items():
            # Only a seek from our own loop may have come between.
            positions[tp] = max(positions.get(tp, 0), of_partition[-1].offset + 1)
        return Fetched(records=records, positions=positions, assignment=assignment)

    async def on_thread_stop(self) -> None:
        """Leave the group and close all connections, whether or not a broker is there."""
        try:
            await super().on_thread_stop()
        except asyncio.CancelledError:
            # Nobody has cancelled us. The connections are what it would have closed next.
            await self._ensure_consumer()._client.close()  # noqa: SLF001 - not public

    async def commit(self, tps: Mapping[TP, int]) -> bool:
        """Commit offsets; False: they could not be, in time or at all."""
        try:
            # The thread has its own limit, but may be gone: after a SystemExit it ends beside us.
            async with asyncio.timeout(2 * COMMIT_SECONDS):
                return bool(await super().commit(tps))
        except TimeoutError:
            return False

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                return await super()._commit(offsets)
        except TimeoutError:
            log(logging.WARNING, "checkpoint.commit_timed_out", partitions=len(offsets))
            return False

    def _create_worker_consumer(self, transport: aiokafka.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # What a producer took back has never happened. No setting of Faust's says this alone.
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - read when it is started
        consumer._fetch_max_wait_ms = round(IDLE_SECONDS * 1000)  # noqa: SLF001 - the same
        return consumer


class Consumer(aiokafka.Consumer):
    """Delivers checkpointed topics to their lanes, and all others to their agents as Faust does."""

    _thread: ConsumerThread

    def __init__(self, transport: "Transport", *args: Any, **kwargs: Any) -> None:
        super().__init__(transport, *args, **kwargs)
        self.lanes = transport.lanes
        self.polled_at: float | None = None
        """Monotonic time of the last poll as a member of the group; None: there was none."""
        self._positions: dict[TP, int] = {}
        self._delivered: defaultdict[TP, Delivered] = defaultdict(Delivered)

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                await self._fetch()
        except (asyncio.CancelledError, ConsumerStoppedError):
            if not self.app.should_stop:
                raise

    async def _fetch(self) -> None:
        if not self.flow_active:
            await self.wait_first(self.can_resume_flow.wait())
            return
        full = self.lanes.full()
        active = self._get_active_partitions() - full
        timeout = FULL_POLL_SECONDS if full else POLL_SECONDS
        positions = self._positions
        fetched = await self._thread.fetch(active or {NO_PARTITION}, timeout)
        if fetched.assignment is not None:
            self.polled_at = time.monotonic()
        # The recovery of a table seeks to where it wants to begin before the flow is resumed.
        recovering = not self.flow_active
        for tp, position in fetched.positions.items():
            records = fetched.records.get(tp, [])
            if not records and position == positions.get(tp):
                # Idle, as most of a thousand partitions are.
                continue
            if recovering and self._is_changelog_tp(tp):
                continue
            begin = records[0].offset if records else position
            back = begin < positions.get(tp, 0) and positions is self._positions
            if back and not self._is_changelog_tp(tp):
                await self._rewind(tp, begin)
            if not await self._holds(fetched):
                return
            if records:
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                await self._deliver(tp, records, fetched)
            positions[tp] = position

    async def _holds(self, fetched: Fetched) -> bool:
        """Return whether the partitions are still those that were fetched, once the flow resumes.

        What comes in while they change hands may be of the new assignment, and is not fetched
        again where the group has committed nothing. Of an old one, it may be another worker's.
        """
        if not self.flow_active:
            await self.wait_first(self.can_resume_flow.wait())
        return self.flow_active and self._thread.assignment_in_force() is fetched.assignment

    async def _deliver(self, tp: TP, records: list[Record], fetched: Fetched) -> None:
        if tp.topic in self.lanes:
            self.lanes.deliver(tp, records)
            return
        acks = self.app.topics.acks_enabled_for(tp.topic)
        for record in records:
            if not await self._holds(fetched):
                return
            read = self._read_offset[tp]
            if read is not None and record.offset < read:
                continue
            if acks:
                self._delivered[tp].add(record.offset)
            await self.wait_first(
                self.callback(self._to_message(tp, record)), self.suspend_flow.wait()
            )
            self._read_offset[tp] = record.offset + 1

    async def _rewind(self, tp: TP, offset: int) -> None:
        """Begin again where the broker does: the topic was made anew or lost its end, or a seek."""
        log(
            logging.WARNING,
            "checkpoint.partition_rewound",
            topic=tp.topic,
            partition=tp.partition,
            offset=offset,
            expected=self._positions.pop(tp),
        )
        await self.lanes.rewind(tp, offset)
        self._delivered.pop(tp, None)
        for offsets in (self._acked_index, self._read_offset, self._committed_offset):
            offsets.pop(tp, None)

    async def perform_seek(self) -> None:
        """Seek back to the committed offsets; lanes pass over what they hold already."""
        self._positions = {}
        await super().perform_seek()

    def _new_offset(self, tp: TP) -> int | None:
        if tp.topic in self.lanes:
            # With nothing left to settle, the markers behind the last event are passed as well.
            position = self.lanes.position(tp)
            return position if self.lanes.busy(tp) else self._positions.get(tp, position)
        self._acked[tp].clear()
        return self._delivered[tp].position(self._acked_index[tp])

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        partitions = {*self.lanes.partitions(), *self._positions, *self._delivered}
        return (tp for tp in partitions if topics is None or tp in topics or tp.topic in topics)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        if tp.topic in self.lanes:
            return offset > 0 and offset != self._committed_offset[tp]
        return super()._should_commit(tp, offset)

    async def _commit_offsets(
        self,
        offsets: Mapping[TP, int],
        start_new_transaction: bool = True,  # noqa: FBT001, FBT002 - the signature is Faust's
    ) -> bool:
        before = {tp: self._committed_offset[tp] for tp in offsets}
        committed = await super()._commit_offsets(offsets, start_new_transaction)
        if not committed:
            self._committed_offset.update(before)
        return committed

    async def wait_empty(self) -> None:
        """Settle the events in hand within the grace time, and commit."""
        await self.lanes.drain()
        # It may not know of the last events, and ours would be taken for the same.
        await self.maybe_wait_for_commit_to_finish()
        await super().wait_empty()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Settle and commit before the partitions are given up."""
        self.stop_flow()
        await self.lanes.drain()
        await self.maybe_wait_for_commit_to_finish()
        await self.commit()
        # Faust commits once more, when a topic that is being made anew may have no offset to take.
        self.lanes.close()
        self._positions = {}
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._delivered.pop(tp, None)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Look for a stuck stream; lanes have none, Faust would report them as stuck."""
        if tp.topic not in self.lanes:
            super().verify_event_path(now, tp)


class Transport(aiokafka.Transport):
    """Faust's Kafka transport with our consumer."""

    Consumer = Consumer

    def __init__(self, *args: Any, lanes: Lanes, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lanes = lanes


def fits(version: str = faust.__version__) -> bool:
    """Return whether this consumer was written against a version of faust-streaming."""
    return version.startswith(TESTED_FAUST)
