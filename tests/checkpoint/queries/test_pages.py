"""Whoever walks a list sees each of its rows once, newest first, whatever is asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.checkpoint import Count, Cursor, Filter, Page, Reader
from app.checkpoint.database import Database
from app.checkpoint.queries.pages import COUNT_LIMIT, SCAN_LIMIT
from app.checkpoint.queries.windows import LOOKUP_LIMIT
from app.checkpoint.testing import database
from tests.checkpoint.queries import model
from tests.checkpoint.queries.rows import NOON, Row, event, failure, reading, store

Ask: TypeAlias = Callable[..., Awaitable[Page[Any]]]


def ids(page: Page[Any]) -> list[int]:
    """Return what a page has."""
    return [item.id for item in page.items]


async def walk(ask: Ask, where: Filter, *, limit: int) -> list[list[int]]:
    """Return all pages by cursor."""
    pages = []
    after: Cursor | None = None
    while True:
        page = await ask(where, limit=limit, after=after)
        pages.append(ids(page))
        if page.next is None:
            return pages
        assert after is None or page.next < after
        after = page.next


async def leaf(ask: Ask, where: Filter, *, limit: int) -> list[list[int]]:
    """Return all pages by offset."""
    pages: list[list[int]] = []
    while page := ids(await ask(where, limit=limit, offset=limit * len(pages))):
        pages.append(page)
    return pages


def in_pages(wanted: list[int], limit: int) -> list[list[int]]:
    """Return the pages that a list has."""
    return [wanted[start : start + limit] for start in range(0, len(wanted), limit)]


@pytest.mark.parametrize("server", ["sqlite", "postgresql", "mariadb"])
def test_a_walk_meets_each_row_once_in_order(request: pytest.FixtureRequest, server: str) -> None:
    """By cursor and by offset: whatever the limit, the filter, ties, and missing times."""
    url = request.getfixturevalue(f"{server}_url")
    limits = st.integers(1, 3)

    @given(model.events, model.failures, model.filters(), limits)
    @settings(deadline=None, max_examples=50)
    def check(events: list[Row], failures: list[Row], where: Filter, limit: int) -> None:
        asyncio.run(_check(url, events, failures, where=where, limit=limit))

    check()


async def _check(
    url: str, events: list[Row], failures: list[Row], *, where: Filter, limit: int
) -> None:
    async with database(url) as tables, reading(url) as reader:
        await store(tables, events=events, failures=failures)
        for ask, wanted in (
            (reader.events, model.wanted_events(events, where)),
            (reader.failures, model.wanted_failures(failures, where)),
        ):
            expected = in_pages(wanted, limit)
            assert await walk(ask, where, limit=limit) == (expected or [[]])
            assert await leaf(ask, where, limit=limit) == expected
        count = len(model.wanted_failures(failures, where))
        assert await reader.count_failures(where) == Count(count=count, capped=False)


async def test_the_order_is_by_event_time_then_by_id(tables: Database, reader: Reader) -> None:
    """What has no time comes last; it too is newest first."""
    times = [None, 3, 6, None, 5, 4]
    rows = [
        event(n, event_time=None if hour is None else NOON + timedelta(hours=hour))
        for n, hour in enumerate(times, 1)
    ]
    await store(tables, events=rows, failures=[failure(**row_fields(row)) for row in rows])
    assert ids(await reader.events(Filter(), limit=9)) == [3, 5, 6, 2, 4, 1]
    assert ids(await reader.failures(Filter(), limit=9)) == [3, 5, 6, 2, 4, 1]


def row_fields(row: Row) -> Row:
    """Return what makes a failure of an event's row."""
    return {"number": row["id"], "event_time": row["event_time"]}


async def test_a_page_looks_through_a_bounded_number_of_rows(
    tables: Database, reader: Reader
) -> None:
    """It may be short or empty, and says where to go on; the walk still meets all."""
    last = 2 * SCAN_LIMIT + 100
    names = ("others" if n in {1, last} else "orders" for n in range(1, last + 1))
    topics = list(enumerate(names, 1))
    await store(
        tables,
        events=[event(n, topic=topic) for n, topic in topics],
        failures=[failure(n, topic=topic) for n, topic in topics],
    )
    rare = Filter(topic="others")
    for ask in (reader.events, reader.failures):
        first = await ask(rare, limit=5)
        assert (ids(first), first.next is None) == ([last], False)
        assert await walk(ask, rare, limit=5) == [[last], [], [1]]
        assert await walk(ask, rare, limit=1) == [[last], [], [1]]
    assert await reader.count_failures(rare) == Count(count=1, capped=True)


async def test_all_events_of_an_entity_are_found_at_once(tables: Database, reader: Reader) -> None:
    """However old they are; of an entity that has very many, page by page."""
    last = SCAN_LIMIT + LOOKUP_LIMIT
    rows = [event(n, entity_id="rare" if n < 3 else "many") for n in range(1, last + 1)]
    await store(tables, events=rows)
    assert await walk(reader.events, Filter(entity_id="rare"), limit=5) == [[2, 1]]
    many = await walk(reader.events, Filter(entity_id="many"), limit=last)
    assert [one for page in many for one in page] == list(range(last, 2, -1))


async def test_all_failures_with_one_content_are_found_at_once(
    tables: Database, reader: Reader
) -> None:
    """However old they are."""
    rows = [failure(n, checksum=bytes(16) if n < 3 else None) for n in range(1, SCAN_LIMIT + 5)]
    await store(tables, failures=rows)
    where = Filter(checksum=bytes(16))
    assert await walk(reader.failures, where, limit=5) == [[2, 1]]
    assert await reader.count_failures(where) == Count(count=2, capped=False)


async def test_counting_ends_at_a_limit(tables: Database, reader: Reader) -> None:
    """There may be more; below the limit there are not."""
    rows = [failure(n) for n in range(1, COUNT_LIMIT + 2)]
    await store(tables, failures=rows)
    assert await reader.count_failures(Filter()) == Count(count=COUNT_LIMIT, capped=True)
    await store(tables, failures=rows[: COUNT_LIMIT - 1])
    assert await reader.count_failures(Filter()) == Count(count=COUNT_LIMIT - 1, capped=False)
