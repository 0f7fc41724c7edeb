"""A batch of new events is copied into PostgreSQL; whatever comes between, nothing is half done."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from app.checkpoint import store
from app.checkpoint.database import Database
from app.checkpoint.events import Event
from app.checkpoint.models import EventRow
from app.checkpoint.store import Outcomes
from app.checkpoint.testing import database
from tests.checkpoint.test_store import offsets, wait_for_locks
from tests.checkpoint.writer import ACK, Writer
from tests.polling import eventually_async

CONNECTIONS = 5


@pytest.fixture
async def postgres(postgresql_url: str) -> AsyncIterator[Database]:
    """Return empty tables in PostgreSQL."""
    async with database(postgresql_url) as tables:
        yield tables


async def copied(writer: Writer, *events: Event) -> bool:
    """Return whether these events were copied."""
    outcomes = Outcomes(acked=[(event, ACK) for event in events])
    return await store.copy_events(writer.database.engine, writer.handler, outcomes)


async def backend(tables: Database) -> int:
    """Return which process of the server the next connection of the pool belongs to."""
    async with tables.engine.connect() as connection:
        process = await connection.scalar(text("SELECT pg_backend_pid()"))
    assert process is not None
    return int(process)


async def assert_all_connections_work(tables: Database) -> None:
    """Use as many connections as there are, at once."""
    both = asyncio.Barrier(CONNECTIONS)

    async def use() -> None:
        async with tables.engine.connect() as connection:
            assert await connection.scalar(text("SELECT 1")) == 1
            await both.wait()

    async with asyncio.timeout(10):
        await asyncio.gather(*(use() for _ in range(CONNECTIONS)))


@pytest.mark.parametrize("value", [b'{"a": 1.0, "b": "\xf0\x9f\x90\x9d"}', b"\xff", None])
async def test_a_copied_row_is_the_row_that_is_inserted_elsewhere(
    postgres: Database, value: bytes | None
) -> None:
    """Whatever the payload is."""
    copying = Writer(postgres, decode=len)
    inserting = Writer(postgres, decode=len, group_id="another")
    fields = {"partition": 3, "offset": 2**40, "key": b"\x00k"}
    assert await copied(copying, copying.event(value, **fields))
    await inserting.ack(inserting.event(value, **fields))
    one, other = [row._asdict() for row in await copying.rows(EventRow)]
    assert one.keys() == other.keys()
    different = {name for name in one if one[name] != other[name]}
    assert different == {"id", "identity", "group_id", "created_at"}


async def test_nothing_is_copied_if_one_row_is_there(postgres: Database) -> None:
    """Another worker was first: then it is recorded as usual, and by the same connection."""
    writer = Writer(postgres)
    await writer.ack(writer.event(b"1", offset=1))
    events = [writer.event(b"%d" % n, offset=n + 10) for n in range(3)]
    process = await backend(postgres)
    assert not await copied(writer, *events)
    assert await backend(postgres) == process
    assert offsets(await writer.rows(EventRow)) == [1]
    await writer.ack(*events)
    assert offsets(await writer.rows(EventRow)) == [1, 10, 12]


async def test_other_outcomes_and_databases_are_none_of_its_business(tables: Database) -> None:
    """Failures, and events that resolve one, are written in one transaction with the others."""
    writer = Writer(tables)
    first, second = writer.event(b"1"), writer.event(b"2", offset=2)
    for outcomes in (
        Outcomes(acked=[(first, ACK)], failed=[writer.failed(second)]),
        Outcomes(acked=[(first, ACK)], resolved=[first.identity]),
    ):
        assert not await store.copy_events(tables.engine, writer.handler, outcomes)
    assert await writer.rows(EventRow) == []
    assert await copied(writer, first) is (tables.dialect == "postgresql")


async def test_who_is_cancelled_while_copying_has_written_nothing(postgres: Database) -> None:
    """It waits for another worker's transaction, and is told to end."""
    writer = Writer(postgres)
    event = writer.event(b"1")
    async with postgres.engine.connect() as first:
        await store.record(first, writer.handler, Outcomes(acked=[(event, ACK)]))
        waiting = asyncio.create_task(copied(writer, writer.event(b"0"), event))
        await eventually_async(lambda: wait_for_locks(postgres, 1))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await eventually_async(lambda: wait_for_locks(postgres, 0))
        await first.rollback()
    assert await writer.rows(EventRow) == []
    await assert_all_connections_work(postgres)


async def test_a_lost_connection_is_not_used_again(postgres: Database) -> None:
    """What is recorded as usual afterwards gets another one."""
    writer = Writer(postgres)
    event = writer.event(b"1")
    async with postgres.engine.connect() as first:
        await store.record(first, writer.handler, Outcomes(acked=[(event, ACK)]))
        waiting = asyncio.create_task(copied(writer, event))
        await eventually_async(lambda: wait_for_locks(postgres, 1))
        await first.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock'"
            )
        )
        assert not await waiting
        await first.rollback()
    await writer.ack(event)
    assert len(await writer.rows(EventRow)) == 1
    await assert_all_connections_work(postgres)
