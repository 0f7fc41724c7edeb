"""Where only the order of each key is kept, workers may die, come and go like any others."""

import random
import sys

import pytest

from tests.end_to_end.load import Load
from tests.end_to_end.sampler import Sampler
from tests.end_to_end.stage import Stage
from tests.end_to_end.worker import Worker
from tests.faults.report import note
from tests.faults.test_kills import kill_in_flight
from tests.faults.test_rebalance import change_one

SERVICE = "tests.faults.keyed"
WORKERS = 2


def load_of(stage: Stage, seed: int) -> Load:
    """Return what keeps the agent busy."""
    stage.kafka.create_topic(stage.topic("keyed"))
    load = Load(stage, "keyed", dice=random.Random(seed))  # noqa: S311 - chooses seconds
    load.refill()
    return load


def start(stage: Stage) -> Worker:
    """Start one more worker."""
    return stage.start(service=SERVICE, ready=False, SESSION_TIMEOUT="1")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kills", [2, pytest.param(60, marks=pytest.mark.full)])
def test_kills_lose_nothing_and_keep_the_order_of_each_key(stage: Stage, kills: int) -> None:
    """Although what is settled has gaps when a worker dies."""
    seed = random.randrange(2**32)  # noqa: S311 - chooses moments
    sys.stdout.write(f"seed {seed}\n")
    load, dice = load_of(stage, seed), random.Random(seed)  # noqa: S311 - the same
    with Sampler(stage) as sampler:
        workers = [start(stage) for _ in range(WORKERS)]
        for _ in range(kills):
            workers.remove(kill_in_flight(stage, load, workers, dice))
            workers.append(start(stage))
            sampler.check()
        stage.wait_until_settled()
        stage.end(workers)
    assert sampler.samples >= kills
    stage.check()
    runs = stage.runs()
    events = len(stage.ledger.entries)
    assert runs.keys() == {message.place for message in stage.ledger.entries}
    note("W2, by key", injected=kills, hit=kills, events=events, duplicates=runs.total() - events)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("changes", [pytest.param(30, marks=pytest.mark.full)])
def test_no_event_succeeds_twice_while_workers_come_and_go(stage: Stage, changes: int) -> None:
    """What was done beyond an event that waits is recorded, and passed over by the next owner."""
    load = load_of(stage, 1)
    with Sampler(stage) as sampler:
        workers = [start(stage)]
        for _ in range(changes):
            change_one(load, workers, start(stage))
        stage.wait_until_settled()
        stage.end(workers)
    assert sampler.samples >= changes
    stage.check()
    finished = [entry.place for entry in stage.journal.read() if entry.step == "finished"]
    assert sorted(finished) == sorted(message.place for message in stage.ledger.entries)
    note("W6, by key", injected=2 * changes, hit=2 * changes, events=len(finished))
