"""How many there are of what."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings

from app.checkpoint import Count, Reader
from app.checkpoint.database import Database
from app.checkpoint.queries.stats import EVENTS_LIMIT, FAILURES_LIMIT
from app.checkpoint.testing import database
from tests.checkpoint.queries import model
from tests.checkpoint.queries.rows import Row, event, failure, reading, store

STATUSES = ["open", "retrying", "resolved", "discarded"]


@pytest.mark.parametrize("server", ["sqlite", "postgresql", "mariadb"])
def test_all_are_counted_where_there_are_few(request: pytest.FixtureRequest, server: str) -> None:
    """By status, topic and agent."""
    url = request.getfixturevalue(f"{server}_url")

    @given(model.events, model.failures)
    @settings(deadline=None, max_examples=40)
    def check(events: list[Row], failures: list[Row]) -> None:
        asyncio.run(_check(url, events, failures))

    check()


async def _check(url: str, events: list[Row], failures: list[Row]) -> None:
    async with database(url) as tables, reading(url) as reader:
        await store(tables, events=events, failures=failures)
        told = await reader.stats()
    unresolved = [row for row in failures if row["status"] == "open"]
    statuses = Counter(map(model.status_of, failures))
    assert told.events == Count(count=len(events), capped=False)
    assert told.events_by_topic == Counter(row["topic"] for row in events)
    assert told.events_by_agent == Counter(row["agent"] for row in events)
    assert told.failures_by_status == {
        status: Count(count=statuses[status], capped=False) for status in STATUSES
    }
    assert told.unresolved_by_topic == Counter(row["topic"] for row in unresolved)
    assert told.unresolved_by_agent == Counter(row["agent"] for row in unresolved)


async def test_only_the_newest_are_counted_where_there_are_many(
    tables: Database, reader: Reader
) -> None:
    """Each status on its own: many resolved failures hide no open one."""
    await store(
        tables,
        events=[event(n, topic="old" if n == 1 else "new") for n in range(1, EVENTS_LIMIT + 2)],
        failures=[
            failure(1),
            *(failure(n, status="resolved") for n in range(2, FAILURES_LIMIT + 3)),
        ],
    )
    told = await reader.stats()
    assert told.events == Count(count=EVENTS_LIMIT, capped=True)
    assert told.events_by_topic == {"new": EVENTS_LIMIT}
    assert told.failures_by_status == {
        "open": Count(count=1, capped=False),
        "retrying": Count(count=0, capped=False),
        "resolved": Count(count=FAILURES_LIMIT, capped=True),
        "discarded": Count(count=0, capped=False),
    }
