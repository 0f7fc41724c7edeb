"""Follows journal, tables and committed offsets while the soak runs, and counts what is wrong.

The invariants are those of `tests.end_to_end.invariants`, by event instead of by place, since some
events are sent twice, and looked at piece by piece: the tables grow to millions of rows.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.models import EventRow, FailureRow
from tests.end_to_end.effects import effects
from tests.faults.soak.book import UNKNOWN, Book, Numbered

LATE_ROWS = 20_000
"""A row may become visible after so many others with higher ids: its transaction took longer."""


class Oracle:
    """What must hold, and how often it did not."""

    def __init__(self, book: Book, journal: Path, transactional: str, retried: str) -> None:
        self.book = book
        self.runs: Counter[Numbered] = Counter()
        """How often the handler was begun for each event, but those of the topic that retries."""
        self.settled: dict[Numbered, tuple[type, int]] = {}
        """The row that each event ended as."""
        self.passed: list[str] = []
        """Offsets that were committed before their events had an outcome."""
        self.doubled: list[str] = []
        """Events that have more than one row."""
        self.disordered: list[str] = []
        """First completions that came after a later one of the same key."""
        self.samples = 0
        self._transactional, self._retried = transactional, retried
        self._journal, self._read_to = journal, 0
        self._begun: defaultdict[int, set[Numbered]] = defaultdict(set)
        self._furthest: dict[tuple[str, int], int] = {}
        self._finished: set[Numbered] = set()
        self._checked: Counter[tuple[str, int]] = Counter()
        self._ids: Counter[type] = Counter()

    def read_journal(self) -> None:
        """Take in what handlers have done since the last time."""
        if not self._journal.exists():
            return
        with self._journal.open("rb") as journal:
            journal.seek(self._read_to)
            text = journal.read()
        for line in text[: text.rfind(b"\n") + 1].splitlines(keepends=True):
            pid, step, _, topic, partition, offset = line.decode().split()
            if int(offset) >= len(self.book.numbers[topic, int(partition)]):
                # A worker was faster than the broker's answer to us: all from here on has time.
                return
            self._read_to += len(line)
            self._note(int(pid), step, topic, int(partition), int(offset))

    def _note(self, pid: int, step: str, topic: str, partition: int, offset: int) -> None:
        event = self.book.at(topic, partition, offset)
        if event.number == UNKNOWN:
            return
        if step == "started":
            self._begun[pid].add(event)
            if topic != self._retried:
                self.runs[event] += 1
        elif event not in self._finished:
            self._finished.add(event)
            furthest = self._furthest.get((topic, event.key), -1)
            if offset < furthest:
                self.disordered.append(f"{topic} {partition} {offset} after {furthest}")
            self._furthest[topic, event.key] = max(offset, furthest)

    async def read_rows(self, connection: AsyncConnection) -> int:
        """Take in the rows that are new, and return how many there were."""
        before = len(self.settled)
        for row in (EventRow, FailureRow):
            columns = row.id, row.topic, row.partition, row.offset
            late = select(*columns).where(row.id > self._ids[row] - LATE_ROWS)
            for at, topic, partition, offset in await connection.execute(late):
                self._ids[row] = max(self._ids[row], at)
                event = self.book.at(topic, partition, offset)
                if event.number == UNKNOWN:
                    continue
                if self.settled.setdefault(event, (row, at)) != (row, at):
                    self.doubled.append(f"{event}: {row.__tablename__} {at}")
        return len(self.settled) - before

    def check_commits(self, committed: Mapping[tuple[str, int], int]) -> None:
        """Check offsets that were read before the rows were."""
        for tp, offset in committed.items():
            for at, event in self.book.between(tp, self._checked[tp], offset):
                if event not in self.settled:
                    self.passed.append(f"{tp} committed {offset}, {at} has no outcome")
                self._checked[tp] = at + 1
        self.samples += bool(committed)

    def in_flight(self, pid: int) -> int:
        """Return how many events a process has begun and nobody has settled."""
        self._begun[pid] = {event for event in self._begun[pid] if event not in self.settled}
        return len(self._begun[pid])

    def forget(self, pid: int) -> None:
        """Take note that a process is no more."""
        self._begun.pop(pid, None)

    def unsettled(self) -> set[Numbered]:
        """Return the events that have no outcome: at the end, they are lost."""
        return self.book.events - self.settled.keys()

    def repeated_runs(self) -> int:
        """Return how many runs of handlers were not the first of their event."""
        return self.runs.total() - len(self.runs)

    async def wrong_effects(self, connection: AsyncConnection) -> tuple[int, int]:
        """Return how many effects are there beside an event's first, and how many are missing."""
        columns = effects.c.topic, effects.c.partition, effects.c.offset
        found = Counter(
            self.book.at(*place) for place in await connection.execute(select(*columns))
        )
        found = Counter({event: n for event, n in found.items() if event.number != UNKNOWN})
        wanted = {event for event in self.book.events if event.topic == self._transactional}
        return found.total() - len(found), len(wanted - found.keys())
