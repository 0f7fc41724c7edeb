"""Messages that keep coming, so that workers always have something to do."""

import random

import orjson
from sqlalchemy import func, select

from app.checkpoint.models import EventRow, FailureRow
from tests.end_to_end.stage import Stage
from tests.end_to_end.worker import Worker
from tests.polling import eventually

BACKLOG = 1500
HANDLER_SECONDS = (0.0, 0.001, 0.001, 0.002, 0.1)
"""Some events come in batches, and some batches are caught in the middle."""
KEYS = [b"key-%d" % number for number in range(16)]


class Load:
    """Produces to each of the agents so that about as many messages as `BACKLOG` wait."""

    def __init__(self, stage: Stage, *agents: str, dice: random.Random) -> None:
        self._stage = stage
        self._topics = [stage.topic(agent) for agent in agents]
        self._dice = dice

    def refill(self) -> None:
        """Produce what is missing."""
        counts = [select(func.count()).select_from(row) for row in (EventRow, FailureRow)]
        settled = sum(self._stage.fetch(count)[0][0] for count in counts)
        waiting = len(self._stage.ledger.entries) - settled
        for topic in self._topics:
            first = len(self._stage.ledger.entries)
            last = first + (BACKLOG - waiting) // len(self._topics)
            values = [self._value(number) for number in range(first, last)]
            self._stage.ledger.produce(topic, values, keys=KEYS)

    def until_at_work(self, workers: list[Worker], count: int) -> list[Worker]:
        """Refill until so many of the workers handle events; return these."""
        seen = len(self._stage.journal.read())

        def at_work() -> list[Worker]:
            self.refill()
            pids = {entry.pid for entry in self._stage.journal.read(seen)}
            busy = [worker for worker in workers if worker.pid in pids]
            assert len(busy) >= count, f"{len(busy)} workers handle events"
            return busy

        return eventually(at_work, timeout=60)

    def _value(self, number: int) -> bytes:
        return orjson.dumps({"id": number, "seconds": self._dice.choice(HANDLER_SECONDS)})
