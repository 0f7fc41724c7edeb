"""Real input: what GitHub sends, through Apache Kafka and a worker into a database and back."""

from collections import Counter

import pytest
from sqlalchemy import select

from app.checkpoint.models import EventRow
from tests.availability import missing
from tests.end_to_end.github import webhooks
from tests.end_to_end.journal import Place
from tests.end_to_end.stage import Stage
from tests.polling import eventually
from tests.servers import ServerUnavailableError


@pytest.fixture(scope="module")
def payloads() -> dict[str, list[bytes]]:
    """Return GitHub's payloads by the name of their event."""
    try:
        return webhooks()
    except ServerUnavailableError as error:
        missing(str(error))


def send(stage: Stage, payloads: dict[str, list[bytes]]) -> None:
    """Produce all payloads with their names, as a receiver of webhooks does."""
    for name, values in payloads.items():
        headers = [("X-GitHub-Event", name.encode())]
        stage.ledger.produce(stage.topic("webhooks"), values, headers=headers)


@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_real_payloads_come_back_once(stage: Stage, payloads: dict[str, list[bytes]]) -> None:
    """Each is recorded byte for byte, and neither redelivery nor a second copy adds anything."""
    send(stage, payloads)
    worker = stage.start()
    stage.wait_until_settled()
    assert worker.end() == 0
    columns = EventRow.topic, EventRow.partition, EventRow.offset, EventRow.payload
    rows = stage.fetch(select(*columns, EventRow.event_type, EventRow.created_at))
    recorded = {Place._make(row[:3]): (row.payload or "").encode() for row in rows}
    assert recorded == {produced.place: produced.value for produced in stage.ledger.entries}
    names = {name: len(values) for name, values in payloads.items()}
    assert Counter(row.event_type for row in rows) == names
    runs = stage.journal.read()
    assert len(runs) == len(rows)

    stage.rewind()
    send(stage, payloads)
    worker = stage.start()

    def all_passed_again() -> None:
        stage.check_committed(produced.place for produced in stage.ledger.entries)

    eventually(all_passed_again, timeout=60)
    assert worker.end() == 0
    assert stage.fetch(select(*columns, EventRow.event_type, EventRow.created_at)) == rows
    assert stage.journal.read() == runs
