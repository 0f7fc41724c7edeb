"""A worker with more to do than it gets done before the fault that a test is about."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from sqlalchemy import func, select

from app.checkpoint.models import EventRow, FailureRow
from tests.end_to_end.stage import Stage
from tests.faults.report import note
from tests.polling import eventually

AGENTS = ("plain", "transactional")
EVENTS = 300
SECONDS = 0.03
"""What a handler takes: more than a batch may, so that each event has a transaction of its own."""
KEYS = [b"key-%d" % number for number in range(40)]
RECOVERY_LIMIT = 60.0
UNAVAILABLE = "checkpoint.database_unavailable"


class Traffic:
    """As many events for a plain as for a transactional agent, spread over their partitions."""

    def __init__(self, stage: Stage, *, events: int = EVENTS, **settings: Any) -> None:
        self.injected = 0
        self.hit = 0
        self.recovery: list[float] = []
        self._stage = stage
        for agent in AGENTS:
            values = [
                orjson.dumps({"id": f"{agent}-{number}", "seconds": SECONDS})
                for number in range(events)
            ]
            stage.ledger.produce(stage.topic(agent), values, keys=KEYS)
        self.worker = stage.start(**settings)
        self.until_more_is_recorded()

    def recorded(self) -> int:
        """Return how many events are recorded."""
        [[count]] = self._stage.fetch(select(func.count()).select_from(EventRow))
        return int(count)

    def until_more_is_recorded(self) -> None:
        """Wait for progress."""
        before = self.recorded()

        def more() -> None:
            assert self.recorded() > before

        eventually(more, timeout=RECOVERY_LIMIT, interval=0.1)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have a fault injected while the worker stands still with events in flight."""
        self.injected += 1

        def in_flight() -> None:
            self.worker.freeze()
            begun = {entry.place for entry in self._stage.journal.read()}
            if begun <= self._stage.settled():
                self.worker.thaw()
                raise AssertionError

        eventually(in_flight)
        yield
        self.hit += 1
        self.worker.thaw()

    def until_told(self) -> None:
        """Wait until a fault has kept the worker from recording what it had in hand."""
        self.injected += 1

        def told() -> None:
            assert self.worker.output.count(UNAVAILABLE) >= self.injected

        eventually(told, timeout=RECOVERY_LIMIT)
        self.hit += 1

    @contextmanager
    def recovering(self) -> Iterator[None]:
        """Measure the time from the end of the block, which ends a fault, to the next event row."""
        yield
        since = time.monotonic()
        self.until_more_is_recorded()
        self.recovery.append(time.monotonic() - since)

    def finish(self, fault: str) -> None:
        """Check that all events are recorded at their first attempts, and note the fault.

        The recording of a plain handler's event is repeated, never the handler.
        """
        stage = self._stage
        assert self.hit > 0, "no fault found an event in flight"
        stage.mended.set()
        stage.wait_until_settled(timeout=RECOVERY_LIMIT)
        assert stage.fetch(select(FailureRow.id)) == []
        assert {entry.attempt for entry in stage.journal.read()} == {1}
        assert self.worker.end() == 0
        stage.check()
        runs = stage.runs()
        plain = stage.topic("plain")
        assert {count for place, count in runs.items() if place.topic == plain} == {1}
        note(
            fault,
            injected=self.injected,
            hit=self.hit,
            events=len(stage.ledger.entries),
            duplicates=runs.total() - len(runs),
            recovery=self.recovery,
        )


def until(moment: float) -> None:
    """Let time go by until a monotonic moment: how long a fault lasts is what it is about."""

    def over() -> None:
        assert time.monotonic() >= moment

    eventually(over, timeout=RECOVERY_LIMIT * 2, interval=0.2)
