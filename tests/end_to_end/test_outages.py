"""A database that is away is waited for: no event is lost, fails, or is tried in vain."""

import time
from collections.abc import Callable

import orjson
import pytest
from sqlalchemy import func, select

from app.checkpoint.models import EventRow, FailureRow
from tests.end_to_end.stage import Stage
from tests.end_to_end.worker import Worker
from tests.polling import eventually
from tests.servers import PostgreSQL

EVENTS = 1200
SECONDS = 0.005
"""What an event's handler takes, so that most events wait when the database goes."""
OUTAGE_SECONDS = 10.0
RECOVERY_LIMIT = 60.0


def produce(stage: Stage) -> None:
    """Produce events for a plain and a transactional agent, spread over their partitions."""
    for agent in ("plain", "transactional"):
        values = [
            orjson.dumps({"id": f"{agent}-{number}", "seconds": SECONDS})
            for number in range(EVENTS)
        ]
        keys = [str(number % 40).encode() for number in range(EVENTS)]
        stage.ledger.produce(stage.topic(agent), values, keys=keys)


def recorded(stage: Stage) -> int:
    """Return how many events are recorded."""
    [[count]] = stage.fetch(select(func.count()).select_from(EventRow))
    return int(count)


def until_more_is_recorded(stage: Stage) -> int:
    """Wait for progress, and return how many events are recorded then."""
    before = recorded(stage)

    def more() -> int:
        count = recorded(stage)
        assert count > before
        return count

    return eventually(more, timeout=RECOVERY_LIMIT, interval=0.1)


def check_nothing_is_lost(stage: Stage, worker: Worker) -> None:
    """Wait for the end, and compare it with what the broker has taken."""
    stage.wait_until_settled(timeout=RECOVERY_LIMIT)
    assert stage.fetch(select(FailureRow.id)) == []
    assert {entry.attempt for entry in stage.journal.read()} == {1}
    assert worker.end() == 0
    stage.check()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("go", [PostgreSQL.stop, PostgreSQL.kill], ids=["stopped", "killed"])
def test_a_database_that_is_away_for_ten_seconds_costs_nothing(
    stage: Stage, postgresql: PostgreSQL, go: Callable[[PostgreSQL], None]
) -> None:
    """No failure rows, no retries used up, nothing lost, and the rate comes back."""
    produce(stage)
    worker = stage.start()
    until_more_is_recorded(stage)
    go(postgresql)
    back_at = time.monotonic() + OUTAGE_SECONDS

    def says_so() -> None:
        assert "checkpoint.database_unavailable" in worker.output

    eventually(says_so)
    handled = len(stage.journal.read())
    assert handled < len(stage.ledger.entries) * 2

    def over() -> None:
        assert time.monotonic() >= back_at

    eventually(over, timeout=OUTAGE_SECONDS + 5, interval=0.2)
    postgresql.start()
    check_nothing_is_lost(stage, worker)
    assert "checkpoint.database_available" in worker.output


def test_a_worker_that_starts_before_its_database_waits_for_it(
    stage: Stage, postgresql: PostgreSQL
) -> None:
    """A platform may start both at once; meanwhile, the worker says what it waits for."""
    stage.ledger.produce(stage.topic("plain"), [b'{"id": "a"}'])
    postgresql.stop()
    worker = stage.start(ready=False)

    def says_so() -> None:
        assert "checkpoint.database_unavailable" in worker.output

    eventually(says_so, timeout=30)
    postgresql.start()
    stage.wait_until_settled()
    stage.end([worker])


@pytest.mark.timeout(180)
def test_connections_that_are_cut_again_and_again_cost_nothing(
    stage: Stage, postgresql: PostgreSQL
) -> None:
    """Each cut hits transactions in flight; progress is made between any two of them."""
    produce(stage)
    worker = stage.start()
    for _ in range(6):
        count = until_more_is_recorded(stage)
        assert count < len(stage.ledger.entries)
        assert postgresql.terminate_backends() > 0
    check_nothing_is_lost(stage, worker)
    assert "checkpoint.database_unavailable" in worker.output
