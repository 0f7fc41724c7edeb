"""Workers join and leave in order, under load: each event is handled once, and only once."""

import random
from collections import Counter

from tests.end_to_end.load import Load
from tests.end_to_end.sampler import Sampler
from tests.end_to_end.stage import Stage

CHANGES = 3


def test_each_event_is_handled_once_while_workers_come_and_go(stage: Stage) -> None:
    """Who gives up a partition settles and commits what it has begun, and begins nothing more."""
    load = Load(stage, "plain", "transactional", dice=random.Random(1))  # noqa: S311 - no secret
    with Sampler(stage) as sampler:
        load.refill()
        workers = [stage.start(ready=False) for _ in range(2)]
        for _ in range(CHANGES):
            load.until_at_work(workers, 2)
            workers.append(stage.start())
            assert workers.pop(0).end() == 0
        stage.wait_until_settled()
        stage.end(workers)
    assert sampler.samples >= CHANGES
    stage.check()
    assert stage.runs() == Counter(message.place for message in stage.ledger.entries)
