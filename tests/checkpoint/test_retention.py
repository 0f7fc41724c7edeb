"""What goes is what is older than it is kept, and nothing else, whatever the size of a batch."""

from datetime import datetime, timedelta
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from app.checkpoint import ConfigurationError, Retention
from app.checkpoint.claims import LEASE_SECONDS
from app.checkpoint.database import Database
from app.checkpoint.models import (
    AuditRow,
    EventRow,
    FailureRow,
    OperationItemRow,
    OperationRow,
)
from app.checkpoint.queries import retention as queries
from app.checkpoint.retention import Sweep, sweeps
from app.checkpoint.store import retention as store
from app.checkpoint.testing import database
from tests.checkpoint.queries import rows
from tests.checkpoint.queries.rows import Row

DAY = timedelta(days=1)
MOMENT = timedelta(seconds=LEASE_SECONDS)
STATUSES = ("open", "resolved", "discarded")


async def test_what_is_too_old_goes(tables: Database) -> None:
    """By the time at which it was recorded, which is not that of the event."""
    now = await time_of(tables)
    recorded = [now - 9 * DAY, now - 3 * DAY - MOMENT, now - 3 * DAY + MOMENT, now]
    events = [rows.event(number, created_at=at) for number, at in enumerate(recorded, start=1)]
    events[3] |= {"event_time": now - 99 * DAY}
    acts = [rows.act(number, created_at=at) for number, at in enumerate(recorded, start=1)]
    await rows.store(tables, events=events, acts=acts)
    assert await prune(tables, Retention(events=3 * DAY)) == {"events": 2}
    assert await ids(tables, EventRow) == [3, 4]
    assert await prune(tables, Retention(audit=3 * DAY)) == {"audit": 2, "operations": 0}
    assert await ids(tables, AuditRow) == [3, 4]


@pytest.mark.parametrize("status", STATUSES)
async def test_failures_go_by_status(tables: Database, status: str) -> None:
    """By the time at which they last failed."""
    now = await time_of(tables)
    failures = [
        rows.failure(number, status=each, created_at=now - 9 * DAY, last_failed_at=now - age)
        for number, (each, age) in enumerate(
            [(status, 4 * DAY), (status, 2 * DAY), *((each, 9 * DAY) for each in STATUSES)], start=1
        )
    ]
    await rows.store(tables, failures=failures)
    assert await prune(tables, Retention(**{status: 3 * DAY})) == {status: 2}
    assert await ids(tables, FailureRow) == sorted({2, 3, 4, 5} - {3 + STATUSES.index(status)})


@pytest.mark.parametrize("status", STATUSES)
async def test_a_failure_that_is_being_retried_stays(tables: Database, status: str) -> None:
    """Until whoever retries it has been silent for so long that it counts as dead.

    The stream may have resolved it meanwhile: the retry still looks for its row.
    """
    now = await time_of(tables)
    old = {"status": status, "created_at": now - 9 * DAY, "last_failed_at": now - 9 * DAY}
    failures = [
        rows.failure(1, claimed_at=rows.NOW, **old),
        rows.failure(2, claimed_at=now - 2 * MOMENT, **old),
        rows.failure(3, claimed_at=None, **old),
    ]
    await rows.store(tables, failures=failures)
    assert await prune(tables, Retention(**{status: DAY})) == {status: 2}
    assert await ids(tables, FailureRow) == [1]


async def test_what_an_operation_has_before_it_stays(tables: Database) -> None:
    """Open failures that a running operation is still to retry, and those that came after them."""
    now = await time_of(tables)
    old = {"created_at": now - 9 * DAY, "last_failed_at": now - 9 * DAY}
    await rows.store(tables, failures=[rows.failure(number, **old) for number in range(1, 6)])
    await operate(tables, 1, status="running", taken_up=2, failures=[2, 3, 4])
    await operate(tables, 2, status="finished", taken_up=0, failures=[1])
    assert await prune(tables, Retention(open=DAY)) == {"open": 3}
    assert await ids(tables, FailureRow) == [4, 5]
    await settle(tables, 1, "cancelled", now)
    assert await prune(tables, Retention(open=DAY)) == {"open": 2}


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_operations_go_with_their_items(tables: Database, limit: int) -> None:
    """Once they have ended, from then on; those that run stay, however old they are."""
    now = await time_of(tables)
    for number, items in enumerate([3, 0, 2, 1, 2], start=1):
        await operate(tables, number, status="running", taken_up=0, failures=[7] * items)
    for number, days in [(1, 9), (2, 9), (3, 1), (5, 4)]:
        await settle(tables, number, "finished", now - days * DAY)
    counted = await prune(tables, Retention(audit=3 * DAY), limit=limit)
    assert counted == {"audit": 0, "operations": 3}
    assert await ids(tables, OperationRow) == [3, 4]
    left = [row.operation_id for row in await fetch(tables, OperationItemRow)]
    assert sorted(left) == [3, 3, 4]


async def test_what_lies_a_little_out_of_order_goes(tables: Database) -> None:
    """A long transaction's rows have higher ids than younger ones of shorter transactions."""
    now = await time_of(tables)
    ages = [9, 1, 9, 1, 1, 9]
    events = [
        rows.event(number, created_at=now - age * DAY) for number, age in enumerate(ages, start=1)
    ]
    await rows.store(tables, events=events)
    assert await prune(tables, Retention(events=3 * DAY), limit=3) == {"events": 3}


async def test_young_rows_are_not_read(tables: Database) -> None:
    """However many there are: a run ends at the first batch in which nothing is too old."""
    now = await time_of(tables)
    events = [rows.event(number, created_at=now - number * DAY) for number in range(20, 0, -1)]
    renumbered = [event | {"id": 21 - event["id"]} for event in events]
    await rows.store(tables, events=renumbered)
    async with tables.engine.begin() as connection:
        [way] = sweeps(Retention(events=15 * DAY + MOMENT), await queries.now(connection))
        steps = 0
        left: Sweep | None = way
        while left is not None:
            left = (await left.step(connection, queries.count, limit=4)).then
            steps += 1
    assert steps == 3


def test_an_age_that_is_none_is_refused() -> None:
    """The sentence names it."""
    with pytest.raises(ConfigurationError, match=r"Retention\(open=.*\) cannot work"):
        Retention(events=DAY, open=-DAY)


DAYS = st.integers(1, 30)


@given(
    recorded=st.lists(DAYS, max_size=30),
    failed=st.lists(st.tuples(DAYS, DAYS, st.sampled_from(STATUSES)), max_size=30),
    keep=st.dictionaries(st.sampled_from(["events", "audit", *STATUSES]), DAYS),
    limit=st.integers(1, 40),
)
@settings(deadline=None, max_examples=60)
async def test_exactly_what_is_too_old_goes(
    recorded: list[int], failed: list[tuple[int, int, str]], keep: dict[str, int], limit: int
) -> None:
    """Of each kind that has an age, and of no other, however many rows a batch looks at."""
    retention = Retention(**{name: days * DAY - MOMENT for name, days in keep.items()})
    events = dict(enumerate(sorted(recorded, reverse=True), start=1))
    failures = dict(enumerate(sorted(failed, reverse=True), start=1))
    with TemporaryDirectory() as folder:
        async with database(f"sqlite:///{folder}/service.db") as tables:
            now = await time_of(tables)
            at = {number: now - days * DAY for number, days in events.items()}
            await rows.store(
                tables,
                events=[rows.event(number, created_at=at[number]) for number in events],
                acts=[rows.act(number, created_at=at[number]) for number in events],
                failures=[_failed(number, now, *each) for number, each in failures.items()],
            )
            await prune(tables, retention, limit=limit)
            for name, model in (("events", EventRow), ("audit", AuditRow)):
                most = keep.get(name, 99)
                assert await ids(tables, model) == [n for n in events if events[n] < most]
            assert await ids(tables, FailureRow) == [
                number
                for number, (first, last, status) in failures.items()
                if min(first, last) < keep.get(status, 99)
            ]


def _failed(number: int, now: datetime, first: int, last: int, status: str) -> Row:
    times = {"created_at": now - first * DAY, "last_failed_at": now - min(first, last) * DAY}
    return rows.failure(number, status=status, **times)


async def prune(tables: Database, keep: Retention, *, limit: int = 2) -> dict[str, int]:
    """Delete all that is too old, and return how much of what it was."""
    async with tables.engine.begin() as connection:
        counted: dict[str, int] = {}
        for sweep in sweeps(keep, await queries.now(connection)):
            left: Sweep | None = sweep
            counted[sweep.name] = 0
            while left is not None:
                step = await left.step(connection, store.delete_rows, limit=limit)
                counted[sweep.name] += step.rows
                left = step.then
        return counted


async def operate(
    tables: Database, number: int, *, status: str, taken_up: int, failures: list[int]
) -> None:
    """Store an operation, of whose items so many are taken up."""
    row = {"actor": "ada", "request_id": "1", "action": "retry", "plan": "{}", "status": status}
    items = [
        {
            "operation_id": number,
            "position": position,
            "failure_id": failure_id,
            "outcome": "failed" if position < taken_up else None,
        }
        for position, failure_id in enumerate(failures)
    ]
    async with tables.engine.begin() as connection:
        await connection.execute(
            insert(OperationRow).values(id=number, total=len(items), topics=None, **row)
        )
        if items:
            await connection.execute(insert(OperationItemRow), items)


async def settle(tables: Database, number: int, status: str, at: datetime) -> None:
    """Have an operation end at a time."""
    async with tables.engine.begin() as connection:
        ended = update(OperationRow).where(OperationRow.id == number)
        await connection.execute(ended.values(status=status, finished_at=at))


async def time_of(tables: Database) -> datetime:
    """Return the database's time."""
    async with tables.engine.connect() as connection:
        return await queries.now(connection)


async def fetch(tables: Database, model: Any) -> list[Any]:
    """Return all rows of a table."""
    async with tables.engine.connect() as connection:
        return list(await connection.execute(select(model.__table__)))


async def ids(tables: Database, model: Any) -> list[int]:
    """Return the ids of what is left in a table."""
    return sorted(row.id for row in await fetch(tables, model))
