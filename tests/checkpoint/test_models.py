"""What the columns hold is the same on SQLite, PostgreSQL and MariaDB."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, insert, make_url, select
from sqlalchemy.dialects import sqlite

from app.checkpoint.database import Database
from app.checkpoint.models import EventRow, UTCDateTime, sort_key
from app.checkpoint.testing import database
from tests.servers import MariaDB

HOUR = timedelta(hours=1)
FAR_EAST = timezone(14 * HOUR)
TIMES = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2026, 3, 29, 2, 30, 0, 1, tzinfo=FAR_EAST),
    datetime(2026, 10, 25, 2, 30, 0, 120000, tzinfo=timezone(-12 * HOUR)),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
]
NAMES = ["orders", "Orders", "cafe", "café", "cafe\u0301", "a", "a ", " a", "a\u00a0", "ß", "ss"]
NAMES += ["\N{WAVING HAND SIGN}", "\N{FAMILY}", "x" * 249, "é" * 249]
"""Names that are equal to each other in one collation or another."""

aware = st.datetimes(timezones=st.timezones(), allow_imaginary=False).filter(
    lambda time: datetime(1, 1, 2, tzinfo=UTC) < time < datetime(9999, 12, 30, tzinfo=UTC)
)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def far_off_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the URL of a database whose operator has chosen a time zone far from UTC."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    if request.param == "postgresql":
        name = make_url(url).database
        server = request.getfixturevalue("postgresql")
        server.execute(f"ALTER DATABASE {name} SET timezone = 'Pacific/Chatham'")
    if request.param != "mariadb":
        yield url
        return
    mariadb: MariaDB = request.getfixturevalue("mariadb")
    mariadb.execute("SET GLOBAL time_zone = '+12:45'")
    yield url
    mariadb.execute("SET GLOBAL time_zone = 'SYSTEM'")


def row(identity: int, **values: Any) -> dict[str, Any]:
    """Return the values of an event row."""
    return {
        "identity": identity.to_bytes(16, "big"),
        "agent": "orders",
        "topic": "orders",
        "group_id": "service",
        "partition": 0,
        "offset": identity,
        "sort_key": 0,
        **values,
    }


async def write(tables: Database, *rows: dict[str, Any]) -> None:
    """Insert event rows, in the order given."""
    async with tables.engine.begin() as connection:
        await connection.execute(insert(EventRow), list(rows))


async def read(tables: Database, *what: Any, order: Any = EventRow.offset) -> list[Any]:
    """Return one column, or several, of all event rows."""
    async with tables.engine.connect() as connection:
        found = await connection.execute(select(*what).order_by(order))
        return [tuple(one) if len(what) > 1 else one[0] for one in found]


@given(aware, aware)
def test_sort_keys_are_in_the_order_of_their_times(one: datetime, other: datetime) -> None:
    """Down to the microsecond, whatever the time zones; what has no time is before all others."""
    assert (sort_key(one) < sort_key(other)) == (one < other)
    assert (sort_key(one) == sort_key(other)) == (one == other)
    assert sort_key(None) < sort_key(datetime.min.replace(tzinfo=UTC)) <= sort_key(one)


def test_a_time_without_a_zone_is_refused() -> None:
    """It could be any of 38 moments."""
    dialect = sqlite.dialect()
    with pytest.raises(ValueError, match="no time zone"):
        UTCDateTime().process_bind_param(datetime(2026, 1, 1), dialect)  # noqa: DTZ001 - the case


async def test_times_come_back_as_they_went_in(far_off_url: str) -> None:
    """The same moment to the microsecond, in UTC, whatever the server's own time zone."""
    async with database(far_off_url) as tables:
        await write(tables, *(row(n, event_time=time) for n, time in enumerate(TIMES)))
        times = await read(tables, EventRow.event_time)
    assert times == TIMES
    assert {time.tzinfo for time in times} == {UTC}


async def test_the_database_says_when_a_row_was_made(far_off_url: str) -> None:
    """In UTC too, and as exactly as SQLite can: to the millisecond."""
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    async with database(far_off_url) as tables:
        await write(tables, row(1))
        [made] = await read(tables, EventRow.created_at)
    assert before <= made <= datetime.now(UTC)
    assert made.tzinfo is UTC


async def test_rows_made_by_the_database_are_found_by_time(tables: Database) -> None:
    """The database's own times compare with ours: SQLite compares them as text."""
    await write(tables, row(1))
    [made] = await read(tables, EventRow.created_at)
    async with tables.engine.connect() as connection:
        found = await connection.scalars(select(EventRow.id).where(EventRow.created_at == made))
        assert len(found.all()) == 1


async def test_names_are_equal_to_themselves_only(tables: Database) -> None:
    """Case, accents, compositions and trailing spaces all count."""
    await write(tables, *(row(n, topic=name, entity_id=name) for n, name in enumerate(NAMES)))
    assert await read(tables, EventRow.topic, EventRow.entity_id) == [(one, one) for one in NAMES]
    async with tables.engine.connect() as connection:
        for name in NAMES:
            for column in (EventRow.topic, EventRow.entity_id):
                found = await connection.scalars(select(column).where(column == name))
                assert found.all() == [name]


async def test_the_newest_come_first_and_those_without_a_time_last(tables: Database) -> None:
    """By one plain index; among equals the row that was written last comes first."""
    day = timedelta(days=1)
    first = datetime(2026, 1, 1, tzinfo=UTC)
    times = [first, first, first + 2 * day, None, first + day, first + day, None, TIMES[0]]
    rows = (row(n, event_time=time, sort_key=sort_key(time)) for n, time in enumerate(times))
    await write(tables, *rows)
    async with tables.engine.connect() as connection:
        newest_first = select(EventRow.offset).order_by(
            EventRow.sort_key.desc(), EventRow.id.desc()
        )
        assert (await connection.scalars(newest_first)).all() == [2, 5, 4, 1, 0, 7, 6, 3]


async def test_an_id_is_given_once(tables: Database) -> None:
    """A link to a row that was deleted never shows another one."""
    await write(tables, row(1), row(2))
    _, newest = await read(tables, EventRow.id)
    async with tables.engine.begin() as connection:
        await connection.execute(delete(EventRow))
    await write(tables, row(3))
    [another] = await read(tables, EventRow.id)
    assert another > newest
