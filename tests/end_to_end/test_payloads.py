"""One worker takes whatever a producer may send, over Apache Kafka, into each database."""

import pytest
from sqlalchemy import select

from app.checkpoint.models import EventRow, FailureRow
from tests.end_to_end.client import Client
from tests.end_to_end.journal import Place
from tests.end_to_end.stage import Stage
from tests.payloads import MESSAGES

TOKEN = "token-" + "t" * 32
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


def check_api(
    stage: Stage, client: Client, table: type[EventRow | FailureRow], *, retried: int
) -> None:
    """List all rows of a table, and show and retry each: what cannot be decoded fails again."""
    kind = "events" if table is EventRow else "failures"
    # Bodies are not read: a payload may be nested deeper than Python's decoder goes.
    assert client.ask("GET", f"/v1/{kind}?limit=200").status == 200
    ids = [row.id for row in stage.fetch(select(table.id))]
    assert len(ids) > 20
    for row_id in ids:
        path = f"/v1/{kind}/{row_id}"
        assert client.ask("GET", path).status == 200
        assert client.ask("POST", f"{path}/retry").status == retried


@pytest.mark.timeout(240)
@pytest.mark.parametrize("database", ["sqlite", "postgresql", "mariadb"])
def test_every_message_ends_as_an_event_or_a_failure(stage: Stage) -> None:
    """None is lost, none holds up the next, each comes back byte for byte, and all can be shown."""
    topic = stage.topic("anything")
    for message in MESSAGES.values():
        stage.ledger.produce(
            topic, [message.value], keys=[message.key], headers=message.headers, partition=0
        )
    worker = stage.start(web=True, API_TOKEN=TOKEN)

    stage.wait_until_settled(timeout=SETTLE_LIMIT)
    events, failures = recorded(stage, EventRow), recorded(stage, FailureRow)
    assert events.keys().isdisjoint(failures)
    assert {**events, **failures} == {entry.place: entry.value for entry in stage.ledger.entries}
    handled = {entry.place for entry in stage.journal.read()}
    assert handled == events.keys()
    check_api(stage, worker.client, EventRow, retried=200)
    check_api(stage, worker.client, FailureRow, retried=422)
    assert worker.end() == 0
    stage.check_committed(produced.place for produced in stage.ledger.entries)
