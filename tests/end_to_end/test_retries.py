"""An event that fails holds up its own partition, in order, and no other."""

import orjson
from sqlalchemy import select

from app.checkpoint.models import FailureRow
from tests.end_to_end.stage import Stage

FAILURES = [0, 2, 99, 0]
"""How often each event of partition 0 fails; the agent makes four attempts at the most."""
OTHERS = 50


def test_a_partition_keeps_its_order_while_an_event_is_retried(stage: Stage) -> None:
    """Attempts are as many as promised, those behind wait, and other partitions go on."""
    topic = stage.topic("flaky")
    for partition, failures in enumerate([FAILURES, [0] * OTHERS]):
        values = [
            orjson.dumps({"id": f"{partition}-{number}", "failures": times})
            for number, times in enumerate(failures)
        ]
        stage.ledger.produce(topic, values, partition=partition)
    worker = stage.start()
    stage.wait_until_settled()
    runs = [entry for entry in stage.journal.read() if entry.step == "started"]
    retried = [(at.place.offset, at.attempt) for at in runs if at.place.partition == 0]
    assert retried == [(0, 1), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (2, 4), (3, 1)]
    others = [(at.place.offset, at.attempt) for at in runs if at.place.partition == 1]
    assert others == [(offset, 1) for offset in range(OTHERS)]
    assert runs[-1].place.partition == 0
    columns = FailureRow.partition, FailureRow.offset, FailureRow.attempts, FailureRow.error_message
    assert [tuple(row) for row in stage.fetch(select(*columns))] == [(0, 2, 4, "0-2")]
    assert worker.end() == 0
    stage.check_committed(produced.place for produced in stage.ledger.entries)
