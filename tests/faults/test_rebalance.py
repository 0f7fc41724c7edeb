"""Workers join and leave in order, under load: each event is handled once, and only once."""

import random
from collections import Counter

import pytest

from tests.end_to_end.load import Load
from tests.end_to_end.sampler import Sampler
from tests.end_to_end.stage import Stage
from tests.end_to_end.worker import Worker
from tests.faults.report import note

WORKERS = 3


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(3, marks=pytest.mark.timeout(600)),
        pytest.param(60, marks=[pytest.mark.full, pytest.mark.timeout(1500)]),
    ],
)
def test_each_event_is_handled_once_while_workers_come_and_go(stage: Stage, changes: int) -> None:
    """Who gives up a partition settles and commits what it has begun, and begins nothing more."""
    load = Load(stage, "plain", "transactional", dice=random.Random(1))  # noqa: S311 - no secret
    with Sampler(stage) as sampler:
        load.refill()
        workers = [stage.start(ready=False) for _ in range(WORKERS - 1)]
        for _ in range(changes):
            change_one(load, workers, stage.start(ready=False))
        stage.wait_until_settled()
        stage.end(workers)
    assert sampler.samples >= changes
    stage.check()
    assert stage.runs() == Counter(message.place for message in stage.ledger.entries)
    note("W6", injected=2 * changes, hit=2 * changes, events=len(stage.ledger.entries))


def change_one(load: Load, workers: list[Worker], new: Worker) -> None:
    """Have the oldest worker end once another one has joined it at work."""
    workers.append(new)
    load.until_at_work(workers, 2)
    new.wait_until_ready()
    assert workers.pop(0).end() == 0
