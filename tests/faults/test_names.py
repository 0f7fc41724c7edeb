"""Topics whose names a careless database takes for one another."""

from collections import Counter

import orjson
import pytest
from sqlalchemy import select

from app.checkpoint.models import EventRow, FailureRow
from tests.end_to_end.stage import Stage
from tests.faults.report import note

EVENTS = 20
LONGEST = 249
"""Characters that Kafka lets the name of a topic have."""
FULL = pytest.mark.full


@pytest.mark.parametrize(
    "database",
    ["mariadb", pytest.param("postgresql", marks=FULL), pytest.param("sqlite", marks=FULL)],
)
def test_topics_that_look_alike_have_their_own_events(stage: Stage, database: str) -> None:
    """D14: the same payloads of each are events and failures of each, and are found by its name."""
    most = LONGEST - len(stage.topic(""))
    names = ["Orders", "orders", "x" * most, "x" * (most - 1) + "y"]
    topics = [stage.topic(name) for name in names]
    values = [orjson.dumps({"id": number, "fails": number % 2 == 0}) for number in range(EVENTS)]
    for topic in topics:
        stage.kafka.create_topic(topic)
        stage.ledger.produce(topic, values)
    worker = stage.start(service="tests.faults.alike", web=True, NAMES=" ".join(names))
    stage.wait_until_settled()
    for topic in topics:
        for what in ("events", "failures"):
            found = worker.client.get(f"/v1/{what}?topic={topic}&limit=200")
            assert Counter(row["topic"] for row in found) == {topic: EVENTS // 2}
    assert worker.end() == 0
    stage.check()
    for identity in (EventRow.identity, FailureRow.identity):
        found = [row[0] for row in stage.fetch(select(identity))]
        assert len(set(found)) == len(found) == len(topics) * EVENTS // 2
    note(f"D14 ({database})", injected=len(topics), hit=len(topics), events=len(topics) * EVENTS)
