"""SIGKILL at random moments: nothing is lost, and effects happen exactly once."""

import random
import sys
import time

import pytest
from sqlalchemy import select

from app.checkpoint.models import FailureRow
from tests.end_to_end.journal import Place
from tests.end_to_end.load import Load
from tests.end_to_end.sampler import Sampler
from tests.end_to_end.stage import Stage
from tests.end_to_end.worker import Worker
from tests.faults.report import note

WORKERS = 3
"""One is usually only starting, so that two are at work."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [5, pytest.param(200, marks=pytest.mark.full)])
def test_kills_lose_nothing(stage: Stage, kills: int) -> None:
    """Workers are killed and replaced again and again, each time with events in flight."""
    seed = random.randrange(2**32)  # noqa: S311 - chooses moments
    sys.stdout.write(f"seed {seed}\n")
    dice = random.Random(seed)  # noqa: S311 - the same
    load = Load(stage, "plain", "transactional", "failing", dice=dice)
    with Sampler(stage) as sampler:
        load.refill()
        workers = [stage.start(ready=False, SESSION_TIMEOUT="1") for _ in range(WORKERS)]
        for _ in range(kills):
            workers.remove(kill_in_flight(stage, load, workers, dice))
            workers.append(stage.start(ready=False, SESSION_TIMEOUT="1"))
            sampler.check()
        stage.wait_until_settled()
        stage.end(workers)
    assert sampler.samples >= kills
    stage.check()
    failed = {row.topic for row in stage.fetch(select(FailureRow.topic))}
    assert failed == {stage.topic("failing")}, "an event was blamed for a kill"
    runs = stage.runs()
    assert runs.keys() == {message.place for message in stage.ledger.entries}
    sys.stdout.write(f"{len(runs)} events, {runs.total() / len(runs):.4f} handler runs an event\n")
    duplicates = runs.total() - len(runs)
    note("W2", injected=kills, hit=kills, events=len(runs), duplicates=duplicates)


def kill_in_flight(stage: Stage, load: Load, workers: list[Worker], dice: random.Random) -> Worker:
    """Kill a worker at a random moment at which it has events in hand, often beside another one."""
    while True:
        victim = dice.choice(load.until_at_work(workers, dice.choice([1, 2])))
        time.sleep(dice.uniform(0, 0.2))  # not a wait: it is the moment that is random
        # Frozen: what is in flight now is so when the process dies.
        victim.freeze()
        if in_flight(stage, victim):
            victim.kill()
            return victim
        victim.thaw()


def in_flight(stage: Stage, worker: Worker) -> set[Place]:
    """Return where the events lie that a frozen worker has begun and nobody has settled."""
    begun = {entry.place for entry in stage.journal.read() if entry.pid == worker.pid}
    return begun - stage.settled()
