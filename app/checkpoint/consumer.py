"""Faust's Kafka consumer with a lean fetch loop and offsets that never pass an unfinished event.

What is replaced of faust-streaming 0.15, and why; `tests/checkpoint/test_consumer.py` shows each
on the stock consumer and fails when upstream changes one of these methods:

- `_drain_messages` starts four asyncio tasks for each message. Here the records of a checkpointed
  partition go to its lanes in one call.
- `_new_offset` commits past one unfinished event, and `_add_gap` counts the live message as part of
  the gap that compaction or a transaction marker left before it. Here an offset may be committed
  when every event delivered before it is acknowledged, whatever gaps lie between.
- `_commit_offsets` remembers an offset as committed although the commit failed.
- `wait_empty` knows nothing of lanes: they are drained first.
"""

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import Any

import faust
from aiokafka.errors import ConsumerStoppedError
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka
from faust.types import TP

from app.checkpoint.lanes import Lanes

TESTED_FAUST = "0.15."
"""Versions whose methods are replaced here."""
POLL_SECONDS = 1.0
"""Longest wait for records in one fetch."""
FULL_POLL_SECONDS = 0.05
"""The same while a lane is full: so late may its partition be fetched again at most."""
NO_PARTITION = TP("", -1)
"""Fetched when every lane is full: the group must see us poll, and nothing may come of it."""


class Consumer(aiokafka.Consumer):
    """Delivers checkpointed topics to their lanes, and all others to their agents as Faust does."""

    def __init__(self, transport: "Transport", *args: Any, **kwargs: Any) -> None:
        super().__init__(transport, *args, **kwargs)
        self.lanes = transport.lanes
        self._delivered: defaultdict[TP, deque[int]] = defaultdict(deque)
        self._acknowledged: dict[TP, int] = {}

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
        generation = self.app.consumer_generation_id
        timeout = FULL_POLL_SECONDS if full else POLL_SECONDS
        fetched = await self._getmany(active or {NO_PARTITION}, timeout)
        if fetched and not (self.flow_active and self.app.consumer_generation_id == generation):
            # A rebalance came between: the partitions may be another worker's by now.
            with contextlib.suppress(Exception):
                await self.perform_seek()
            return
        for tp, records in fetched.items():
            await self._deliver(ensure_TP(tp), records)

    async def _deliver(self, tp: TP, records: list[Any]) -> None:
        self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
        if tp.topic in self.lanes:
            self.lanes.deliver(tp, records)
            return
        acks = self.app.topics.acks_enabled_for(tp.topic)
        for record in records:
            read = self._read_offset[tp]
            if not self.flow_active or (read is not None and record.offset < read):
                continue
            if acks:
                self._delivered[tp].append(record.offset)
            await self.wait_first(
                self.callback(self._to_message(tp, record)), self.suspend_flow.wait()
            )
            self._read_offset[tp] = record.offset

    def _new_offset(self, tp: TP) -> int | None:
        if tp.topic in self.lanes:
            return self.lanes.position(tp)
        delivered, acked = self._delivered[tp], self._acked_index[tp]
        self._acked[tp].clear()
        while delivered and delivered[0] in acked:
            self._acknowledged[tp] = delivered[0] + 1
            acked.discard(delivered.popleft())
        return self._acknowledged.get(tp)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        partitions = {*self.lanes.partitions(), *self._delivered}
        return (tp for tp in partitions if topics is None or tp in topics or tp.topic in topics)

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
        await super().wait_empty()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Settle and commit before the partitions are given up."""
        self.stop_flow()
        await self.lanes.drain()
        await self.commit()
        await super().on_partitions_revoked(revoked)
        self.lanes.close()
        for tp in revoked:
            self._delivered.pop(tp, None)
            self._acknowledged.pop(tp, None)

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


def tested(version: str = faust.__version__) -> bool:
    """Return whether this consumer was written against a version of faust-streaming."""
    return version.startswith(TESTED_FAUST)
