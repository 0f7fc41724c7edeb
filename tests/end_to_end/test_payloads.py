"""One worker takes whatever a producer may send, over Apache Kafka, into each database."""

import pytest
from sqlalchemy import select

from app.checkpoint.models import EventRow, FailureRow
from tests.end_to_end.journal import Place
from tests.end_to_end.stage import Stage
from tests.payloads import MESSAGES

SETTLE_LIMIT = 90.0


def recorded(stage: Stage, table: type[EventRow | FailureRow]) -> dict[Place, bytes | None]:
    """Return the values that a table holds, by the place that they came from."""
    columns = [table.topic, table.partition, table.offset, table.payload, table.payload_raw]
    return {
        Place(row.topic, row.partition, row.offset): row.payload_raw
        if row.payload is None
        else row.payload.encode()
        for row in stage.fetch(select(*columns))
    }


@pytest.mark.timeout(240)
@pytest.mark.parametrize("database", ["sqlite", "postgresql", "mariadb"], indirect=True)
def test_every_message_ends_as_an_event_or_a_failure(stage: Stage) -> None:
    """None is lost, none holds up the next, and each comes back byte for byte."""
    topic = stage.topic("anything")
    for message in MESSAGES.values():
        stage.ledger.produce(
            topic, [message.value], keys=[message.key], headers=message.headers, partition=0
        )
    worker = stage.start()

    stage.wait_until_settled(timeout=SETTLE_LIMIT)
    events, failures = recorded(stage, EventRow), recorded(stage, FailureRow)
    assert events.keys().isdisjoint(failures)
    assert {**events, **failures} == {entry.place: entry.value for entry in stage.ledger.entries}
    handled = {entry.place for entry in stage.journal.read()}
    assert handled == events.keys()
    assert worker.end() == 0
    stage.check_committed(produced.place for produced in stage.ledger.entries)
