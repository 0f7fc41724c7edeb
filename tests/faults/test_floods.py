"""Floods of one payload, or of messages that nobody can read: work and log stay bounded."""

import orjson
import pytest
from sqlalchemy import func, select

from app.checkpoint.models import EventRow, FailureRow
from tests.end_to_end.stage import Stage
from tests.faults.fallible import MODES, RECOVERY_LIMIT, start
from tests.faults.report import note
from tests.polling import eventually

DUPLICATES = 1000
PARTITIONS = 8
POISON = 2000
POISON_LINES = 300
"""Far fewer lines than events: a worker's start alone takes some 150."""


def wait_until_committed(stage: Stage) -> None:
    """Return once no lag is left."""
    places = [message.place for message in stage.ledger.entries]
    eventually(lambda: stage.check_committed(places), timeout=RECOVERY_LIMIT)


@pytest.mark.parametrize("mode", MODES)
def test_one_payload_a_thousand_times_is_one_event(stage: Stage, mode: str) -> None:
    """Of partitions that come to it at the same time, plain handlers may run, effects are one."""
    for agent in MODES:
        stage.kafka.create_topic(stage.topic(agent), PARTITIONS)
    value = orjson.dumps({"id": "the same", "seconds": 0.05})
    for partition in range(PARTITIONS):
        values = [value] * (DUPLICATES // PARTITIONS)
        stage.ledger.produce(stage.topic(mode), values, partition=partition)
    worker = start(stage)
    wait_until_committed(stage)
    stage.end([worker])
    [[rows]] = stage.fetch(select(func.count()).select_from(EventRow))
    assert rows == 1
    assert len(stage.effects()) == (mode == "fallible_transactional")
    runs = stage.runs().total()
    assert 1 <= runs <= PARTITIONS
    note("B9", injected=DUPLICATES, hit=DUPLICATES, events=DUPLICATES, duplicates=runs - 1)


def test_a_flood_of_poison_is_as_many_failures(stage: Stage) -> None:
    """No lag is left, and the log is not flooded with it."""
    for agent in ("awkward", "awkward_transactional"):
        stage.kafka.create_topic(stage.topic(agent))
    values = [b"{bad %d" % number for number in range(POISON)]
    stage.ledger.produce(stage.topic("awkward"), values)
    worker = start(stage)
    wait_until_committed(stage)
    stage.end([worker])
    [[failures]] = stage.fetch(select(func.count()).select_from(FailureRow))
    assert failures == POISON
    assert len(worker.output.splitlines()) < POISON_LINES
    note("B10", injected=POISON, hit=POISON, events=POISON)
