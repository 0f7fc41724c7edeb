"""A topic and the consumer group that reads it, as a broker keeps them."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

from faust.types import TP

from app.checkpoint.events import Record, make_record
from tests.simulation.loop import Process
from tests.simulation.scenario import KEYS

TOPIC = "orders"
SESSION_SECONDS = 6.0
"""After so long a silence a member is taken for dead."""
REBALANCE_SECONDS = 5.0
"""How long members have to give up their partitions."""
FETCHED = 3
"""Most events in one fetch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a member of the group reads, until the next rebalance."""

    generation: int
    positions: dict[TP, int]
    """The committed offset of each partition."""


class Group:
    """The log of each partition, how far it is committed, and who may commit."""

    def __init__(self, partitions: Sequence[Sequence[bytes | None]]) -> None:
        self.log = {
            TP(TOPIC, number): [
                make_record(value, topic=TOPIC, partition=number, offset=offset, key=key)
                for offset, (value, key) in enumerate(zip(values, cycle(KEYS), strict=False))
            ]
            for number, values in enumerate(partitions)
        }
        self.committed = dict.fromkeys(self.log, 0)
        self.opened: Counter[TP] = Counter()
        """How often a partition was begun at its committed offset."""
        self.refused = 0
        """Commits of who is no member any more."""
        self.on_commit: Callable[[Mapping[TP, int]], object] = bool
        """Told of each commit before it counts."""
        self.on_generation: Callable[[int], object] = bool
        """Told of each generation before its members read anything."""
        self._generation = 0
        self._members: dict[Process, float] = {}
        self._joining: dict[Process, asyncio.Future[Assignment]] = {}
        self._rebalance_by: float | None = None

    def records(self) -> Iterable[Record]:
        """Return all events."""
        return (record for records in self.log.values() for record in records)

    def is_done(self) -> bool:
        """Return whether everything is committed."""
        return all(self.committed[tp] == len(records) for tp, records in self.log.items())

    def fetch(self, tp: TP, position: int) -> list[Record]:
        """Return some events from a position on, to whoever asks."""
        return self.log[tp][position : position + FETCHED]

    def join(self, member: Process) -> "asyncio.Future[Assignment]":
        """Return what will be the member's share once all others have joined again."""
        self._members[member] = time.monotonic()
        joined = asyncio.get_running_loop().create_future()
        self._joining[member] = joined
        self.rebalance()
        return joined

    def leave(self, member: Process) -> None:
        """Give the member's partitions to others."""
        if self._members.pop(member, None) is not None:
            self._joining.pop(member, None)
            self.rebalance()

    def hear(self, member: Process, generation: int) -> bool:
        """Take a heartbeat, and return whether the member's partitions are still its own."""
        if member not in self._members or generation != self._generation:
            return False
        self._members[member] = time.monotonic()
        return self._rebalance_by is None

    def commit(self, member: Process, generation: int, offsets: Mapping[TP, int]) -> bool:
        """Return whether the offsets were committed: not for one of an old generation."""
        if member not in self._members or generation != self._generation:
            self.refused += 1
            return False
        self.on_commit(offsets)
        self.committed.update(offsets)
        return True

    def rebalance(self) -> None:
        """Have all members give up their partitions and join again."""
        if self._rebalance_by is None:
            self._rebalance_by = time.monotonic() + REBALANCE_SECONDS

    def tick(self) -> None:
        """Give up who is silent, and end a rebalance that everybody has joined or that is due."""
        now = time.monotonic()
        for member, heard in list(self._members.items()):
            if heard < now - SESSION_SECONDS and member not in self._joining:
                self.leave(member)
        if self._rebalance_by is None:
            return
        if self._members.keys() <= self._joining.keys() or now >= self._rebalance_by:
            self._share_out(now)

    def _share_out(self, now: float) -> None:
        self._generation += 1
        self.on_generation(self._generation)
        self._rebalance_by = None
        joining, self._joining = self._joining, {}
        self._members = dict.fromkeys(joining, now)
        for number, joined in enumerate(joining.values()):
            mine = [tp for tp in self.log if tp.partition % len(joining) == number]
            self.opened.update(mine)
            positions = {tp: self.committed[tp] for tp in mine}
            if not joined.done():
                joined.set_result(Assignment(generation=self._generation, positions=positions))
