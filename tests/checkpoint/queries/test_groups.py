"""Unresolved failures by what one fix would mend."""

import asyncio
from collections import defaultdict
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.checkpoint import Count, FailureGroup, Filter, Reader
from app.checkpoint.database import Database
from app.checkpoint.queries.groups import COUNTED, GROUPS_LIMIT
from app.checkpoint.testing import database
from tests.checkpoint.queries import model
from tests.checkpoint.queries.rows import NOON, NOW, Row, failure, reading, store


def told(group: FailureGroup) -> Row:
    """Return what is told of a group, its sample by the id."""
    return {
        "fingerprint": group.fingerprint,
        "count": group.count,
        "first": group.first_failed_at,
        "last": group.last_failed_at,
        "sample": group.sample.id,
    }


def expected(rows: list[Row]) -> list[Row]:
    """Return what has to be told of the groups that rows make, the last to fail first."""
    groups = defaultdict(list)
    for row in rows:
        if row["status"] == "open" and row["fingerprint"] is not None:
            groups[row["fingerprint"]].append(row)
    listed = [
        {
            "fingerprint": fingerprint,
            "count": Count(count=len(members), capped=False),
            "first": min(row["first_failed_at"] for row in members),
            "last": max(row["last_failed_at"] for row in members),
            "sample": model.wanted_failures(members, Filter())[0],
        }
        for fingerprint, members in groups.items()
    ]
    in_order = sorted(listed, key=lambda group: group["fingerprint"])
    return sorted(in_order, key=lambda group: group["last"], reverse=True)


@pytest.mark.parametrize("server", ["sqlite", "postgresql", "mariadb"])
def test_each_unresolved_failure_is_in_one_group(
    request: pytest.FixtureRequest, server: str
) -> None:
    """With the first and the last time, how many there are, and the newest as a sample."""
    url = request.getfixturevalue(f"{server}_url")

    @given(model.failures, st.integers(1, 3), st.integers(0, 2))
    @settings(deadline=None, max_examples=40)
    def check(rows: list[Row], limit: int, offset: int) -> None:
        asyncio.run(_check(url, rows, limit, offset))

    check()


async def _check(url: str, rows: list[Row], limit: int, offset: int) -> None:
    async with database(url) as tables, reading(url) as reader:
        await store(tables, failures=rows)
        groups = await reader.groups(limit=limit, offset=offset)
        assert list(map(told, groups)) == expected(rows)[offset:][:limit]


async def test_a_group_tells_what_its_failures_have_in_common(
    tables: Database, reader: Reader
) -> None:
    """Agent, topic and class of error; the sample is a failure as lists tell it."""
    same = {"agent": "a", "topic": "t", "error_class": "E", "fingerprint": b"\x01" * 16}
    old = failure(1, **same)
    new = failure(2, **same, event_time=NOON, claimed_at=NOW)
    await store(tables, failures=[old, new, failure(3, status="discarded")])
    [group] = await reader.groups(limit=9)
    assert {name: getattr(group, name) for name in same} == same
    assert [group.sample] == (await reader.failures(Filter(status="retrying"), limit=9)).items
    assert group.last_failed_at == NOON + timedelta(seconds=2)


async def test_counting_stops_in_each_group(tables: Database, reader: Reader) -> None:
    """The more groups are asked for, the sooner."""
    enough = COUNTED // 100
    sizes = {b"\x01" * 16: enough + 1, b"\x02" * 16: enough, b"\x03" * 16: enough - 1}
    marks = [mark for mark, size in sizes.items() for _ in range(size)]
    rows = [failure(n, fingerprint=mark) for n, mark in enumerate(marks, 1)]
    await store(tables, failures=rows)
    counts = [group.count for group in await reader.groups(limit=100)]
    assert counts == [
        Count(count=enough - 1, capped=False),
        Count(count=enough, capped=True),
        Count(count=enough, capped=True),
    ]
    fully = [group.count.count for group in await reader.groups(limit=3)]
    assert fully == [enough - 1, enough, enough + 1]


async def test_the_number_of_groups_that_are_looked_at_is_bounded(
    tables: Database, reader: Reader
) -> None:
    """A bug that makes each failure differ does not make the list dear."""
    rows = [failure(n, fingerprint=n.to_bytes(16, "big")) for n in range(1, GROUPS_LIMIT + 9)]
    await store(tables, failures=rows)
    groups = await reader.groups(limit=GROUPS_LIMIT + 9)
    found = [group.sample.id for group in groups]
    assert len(found) == len(set(found)) == GROUPS_LIMIT
    assert found == sorted(found, reverse=True)
