"""Reading is in nobody's way: nothing is written, waited for, or looked through without end."""

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Table, func, insert, select, text
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.exc import DBAPIError

from app.checkpoint import Cursor, EventRecord, FailureRecord, Filter, Reader
from app.checkpoint.database import READ_SECONDS, Database, is_outage
from app.checkpoint.models import EVENTS, FAILURES, EventRow, sort_key
from app.checkpoint.queries.groups import groups
from app.checkpoint.queries.pages import Cut, count, page
from app.checkpoint.queries.windows import is_one_statement
from tests.checkpoint.queries.rows import NOON, event, failure, store


def read_only(tables: Database) -> Database:
    """Return the database as a reader opens it."""
    return Database(tables.url.render_as_string(hide_password=False), read_only=True)


async def test_nothing_can_be_written(tables: Database) -> None:
    """Whatever a read is tricked into."""
    reading = read_only(tables)
    with pytest.raises(DBAPIError):
        async with reading.engine.begin() as connection:
            await connection.execute(insert(EventRow), event(1))
    await reading.close()


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
async def test_a_statement_ends_after_its_time(request: pytest.FixtureRequest, server: str) -> None:
    """With an error that tells the caller to come back."""
    reading = Database(request.getfixturevalue(f"{server}_url"), read_only=True)
    wait = "SELECT pg_sleep(60)" if server == "postgresql" else "SELECT SLEEP(60)"
    async with asyncio.timeout(10 * READ_SECONDS), reading.engine.connect() as connection:
        with pytest.raises(DBAPIError) as caught:
            await connection.execute(text(wait))
    assert is_outage(caught.value)
    await reading.close()


async def test_a_transaction_sees_one_state(tables: Database) -> None:
    """Pages are made of several statements; what is written between them shows in none."""
    reading = read_only(tables)
    count = select(func.count()).select_from(EventRow)
    async with reading.engine.connect() as connection:
        before = await connection.scalar(count)
        await store(tables, events=[event(1)])
        assert await connection.scalar(count) == before == 0
    await reading.close()


async def test_nobody_waits_for_the_other(tables: Database, reader: Reader) -> None:
    """Readers tell what was committed, while somebody writes."""
    await store(tables, events=[event(1)])
    async with asyncio.timeout(3), tables.engine.begin() as connection:
        await connection.execute(insert(EventRow), event(2))
        for _ in range(2):
            pages = [reader.events(Filter(), limit=9) for _ in range(8)]
            for page in await asyncio.gather(*pages):
                assert [item.id for item in page.items] == [1]
    [newest] = (await reader.events(Filter(), limit=1)).items
    assert newest.id == 2


class Plans:
    """Remembers how a database goes about what it is asked."""

    def __init__(self, reading: Database) -> None:
        self._reading = reading
        self._sent: list[tuple[str, Any]] = []
        sqlalchemy_event.listen(reading.engine.sync_engine, "before_cursor_execute", self._remember)

    @property
    def statements(self) -> int:
        """How many statements were sent so far."""
        return len(self._sent)

    async def read(self) -> str:
        """Return the plans of all statements so far."""
        plans: list[str] = []
        async with self._reading.engine.connect() as connection:
            if self._reading.dialect == "postgresql":
                # Else nothing would tempt it on a table as small as a test's.
                await connection.exec_driver_sql("SET random_page_cost = 1000000")
            for number, (statement, parameters) in enumerate(self._sent.copy()):
                explain, known = f"EXPLAIN {statement}", parameters
                if self._reading.dialect == "sqlite":
                    explain = f"EXPLAIN QUERY PLAN {statement}"
                elif self._reading.dialect == "postgresql":
                    # As the statement itself is planned: before its parameters are known.
                    await connection.exec_driver_sql(f"PREPARE plan_{number} AS {statement}")
                    unknown = ", ".join("NULL" for _ in parameters)
                    explain, known = f"EXPLAIN EXECUTE plan_{number} ({unknown})", ()
                plans += map(str, await connection.exec_driver_sql(explain, known))
        return "\n".join(plans)

    def _remember(self, _: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            self._sent.append((statement, parameters))


WHOLE_TABLE = r"Seq Scan|Hash Join|Merge Join|SCAN checkpoint_\w+'|'checkpoint_\w+', 'ALL'"
"""What a plan says where it reads all rows."""


@pytest.mark.parametrize(
    ("table", "where", "index"),
    [
        (EVENTS, Filter(), "sort_key_id"),
        (EVENTS, Filter(topic="none"), "sort_key_id"),
        (EVENTS, Filter(since=NOON, until=NOON + timedelta(days=1)), "sort_key_id"),
        (EVENTS, Filter(entity_id="1"), "entity_id"),
        (FAILURES, Filter(), "status_sort_key_id"),
        (FAILURES, Filter(error_text="none"), "status_sort_key_id"),
        (FAILURES, Filter(status="all"), "sort_key_id"),
        (FAILURES, Filter(fingerprint=bytes(16)), "status_fingerprint_sort_key_id"),
        (FAILURES, Filter(entity_id="1"), "entity_id_sort_key_id"),
        (FAILURES, Filter(checksum=bytes(16)), "checksum"),
    ],
    ids=lambda case: getattr(case, "name", None),
)
async def test_each_list_goes_along_its_index(
    tables: Database, table: Table, where: Filter, index: str
) -> None:
    """No table is read, wherever the page begins, and whatever there is to be found."""
    rows = range(1, 2001)
    names = {n: {"entity_id": str(n // 9), "checksum": n.to_bytes(16, "big")} for n in rows}
    others = {
        n: {"fingerprint": bytes([n % 99] * 16), "status": ["open", "resolved"][n % 2]}
        for n in rows
    }
    await store(
        tables,
        events=[event(n, **names[n]) for n in rows],
        failures=[failure(n, **names[n], **others[n]) for n in rows],
    )
    analyze = "ANALYZE TABLE" if tables.dialect == "mysql" else "ANALYZE"
    async with tables.engine.begin() as connection:
        await connection.execute(text(f"{analyze} {table.name}"))
    reading = read_only(tables)
    plans = Plans(reading)
    record = EventRecord if table is EVENTS else FailureRecord
    async with reading.engine.connect() as connection:
        cut = Cut(limit=5, after=Cursor(sort_key(NOON) + 1, 7))
        await page(connection, record, where, cut)
        await page(connection, record, where, Cut(limit=5, offset=5))
        if table is FAILURES:
            await count(connection, table, where)
    found = await plans.read()
    await reading.close()
    assert f"ix_{table.name}_{index}" in found
    assert not re.search(WHOLE_TABLE, found)


async def test_groups_are_found_by_indexes(tables: Database) -> None:
    """Neither is the table read for them, nor all of their failures for the samples."""
    rows = [failure(n, fingerprint=bytes([n % 99] * 16)) for n in range(1, 2001)]
    await store(tables, failures=rows)
    reading = read_only(tables)
    plans = Plans(reading)
    async with reading.engine.connect() as connection:
        await groups(connection, limit=5, offset=5, topics=None)
    found = await plans.read()
    await reading.close()
    assert not re.search(WHOLE_TABLE, found)


@pytest.mark.parametrize(
    ("table", "where", "statements"),
    [
        (EVENTS, Filter(), 1),
        (EVENTS, Filter(since=NOON), 1),
        (EVENTS, Filter(topic="none"), 2),
        (EVENTS, Filter(topics=frozenset({"none"})), 2),
        (EVENTS, Filter(entity_id="none"), 2),
        (FAILURES, Filter(), 1),
        (FAILURES, Filter(status="all"), 1),
        (FAILURES, Filter(fingerprint=bytes(16)), 1),
        (FAILURES, Filter(entity_id="none", status="all"), 1),
        (FAILURES, Filter(status="retrying"), 2),
        (FAILURES, Filter(checksum=bytes(16)), 2),
    ],
    ids=lambda case: getattr(case, "name", None),
)
async def test_only_a_page_of_one_statement_takes_no_transaction(
    tables: Database, table: Table, where: Filter, statements: int
) -> None:
    """Where it takes two, both have to see the same rows."""
    reading = read_only(tables)
    plans = Plans(reading)
    record = EventRecord if table is EVENTS else FailureRecord
    async with reading.engine.connect() as connection:
        await page(connection, record, where, Cut(limit=5))
    await reading.close()
    assert plans.statements == statements
    assert is_one_statement(table, where) == (statements == 1)
