"""What is written once stays once, on every database and whoever else writes."""

import asyncio
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app.checkpoint import Backoff, ack, queries, store
from app.checkpoint.database import Database
from app.checkpoint.events import Event
from app.checkpoint.models import EventRow, FailureRow
from app.checkpoint.outages import Outages
from app.checkpoint.store import Outcomes
from app.checkpoint.testing import database
from tests.checkpoint.writer import ACK, Writer
from tests.polling import eventually_async

AT_ONCE = Backoff(min=0.001, max=0.001, jitter=0)


def offsets(rows: Iterable[Any]) -> list[int]:
    """Return where the rows' events stand in their partitions."""
    return [row.offset for row in rows]


async def test_an_event_row_tells_everything_about_its_event(writer: Writer) -> None:
    """Where it came from, what the handler said of it, and what it was."""
    event = writer.event(b'{"a": 1.0}', partition=3, offset=2**40, key=b"\x00k")
    await writer.ack(event)
    [row] = await writer.rows(EventRow)
    assert (row.agent, row.topic, row.group_id) == ("orders", "orders", "service")
    assert (row.partition, row.offset, row.key) == (3, 2**40, b"\x00k")
    told = (row.entity_id, row.event_time, row.event_type, row.event_version)
    assert told == (ACK.entity_id, ACK.event_time, ACK.event_type, ACK.event_version)
    assert (row.identity, row.checksum) == (event.identity, event.checksum)
    assert (row.payload, row.payload_raw) == ('{"a": 1.0}', None)


async def test_the_first_row_of_an_event_stays(writer: Writer) -> None:
    """A second delivery changes nothing, and what is new in its batch is written."""
    await writer.ack(writer.event(b"1", offset=1))
    again = ack("another", 0)
    await writer.ack(*(writer.event(b"%d" % n, offset=n + 10) for n in range(3)), answer=again)
    rows = await writer.rows(EventRow)
    assert sorted((row.offset, row.entity_id) for row in rows) == [
        (1, "order-1"),
        (10, "another"),
        (12, "another"),
    ]


async def test_a_batch_that_must_be_all_new_is_refused_as_a_whole(writer: Writer) -> None:
    """Its effects would stay twice: one row that is there already takes back the others."""
    await writer.ack(writer.event(b"1"))
    with pytest.raises(IntegrityError):
        await writer.ack(writer.event(b"0"), writer.event(b"1"), all_new=True)
    assert len(await writer.rows(EventRow)) == 1
    await writer.ack(writer.event(b"0"), writer.event(b"2"), all_new=True)
    assert len(await writer.rows(EventRow)) == 3


@pytest.mark.parametrize(
    "names", [("Shops", "shops"), ("cafe", "café"), ("a", "a "), ("x" * 248 + "y", "x" * 249)]
)
async def test_names_that_look_alike_stay_apart(tables: Database, names: tuple[str, str]) -> None:
    """Equal content of two topics, groups and agents is six events, and fails as six."""
    for name in names:
        writers = [
            (Writer(tables), name),
            (Writer(tables, group_id=name), "orders"),
            (Writer(tables, agent=name), "orders"),
        ]
        for writer, topic in writers:
            await writer.ack(writer.event(b"1", topic=topic))
            await writer.fail(writer.failed(writer.event(b"2", topic=topic)))
    for model in (EventRow, FailureRow):
        rows = await Writer(tables).rows(model)
        assert len({row.identity for row in rows}) == len(rows) == 6
        assert {row.topic for row in rows} == {*names, "orders"}


async def test_each_tombstone_is_an_event_of_its_own(writer: Writer) -> None:
    """They have no content to go by; a redelivery of one is the same one."""
    await writer.ack(*(writer.event(None, offset=n) for n in (1, 2)))
    await writer.ack(writer.event(None, offset=2), writer.event(None, offset=2, partition=1))
    rows = await writer.rows(EventRow)
    assert [(row.partition, row.offset) for row in rows] == [(0, 1), (0, 2), (1, 2)]
    assert {(row.checksum, row.payload, row.payload_raw) for row in rows} == {(None, None, None)}


async def test_a_failure_row_tells_what_happened(tables: Database) -> None:
    """The event's own fields, as far as the service can name them, and the error."""
    writer = Writer(tables, describe=lambda _, __: ACK)
    event = writer.event(
        b"no json\xff", offset=7, headers=(("a", b"1"), ("a", b"\xff")), timestamp=1.5
    )
    failed = writer.failed(event, KeyError("id"), attempt=3)
    await writer.fail(failed)
    [row] = await writer.rows(FailureRow)
    assert (row.error_class, row.error_message) == ("KeyError", "'id'")
    assert (row.attempts, row.occurrences, row.status) == (3, 1, "open")
    assert (row.first_failed_at, row.last_failed_at) == (
        failed.first_failed_at,
        failed.last_failed_at,
    )
    assert (row.entity_id, row.event_time, row.event_type) == (
        "order-1",
        ACK.event_time,
        "order_placed",
    )
    assert (row.offset, row.payload, row.payload_raw) == (7, None, b"no json\xff")
    headers = [["a", "1"], ["a", {"base64": "/w=="}]]
    assert orjson.loads(row.metadata) == {"headers": headers, "timestamp": 1.5}
    assert (row.claimed_by, row.claimed_at) == (None, None)


async def test_one_delivery_that_failed_counts_once(writer: Writer) -> None:
    """The reply to a COMMIT may get lost, and the same failure be recorded again."""
    failed = writer.failed(writer.event(b"1", offset=1), attempt=6)
    await writer.fail(failed)
    await writer.fail(failed)
    [row] = await writer.rows(FailureRow)
    assert (row.offset, row.occurrences, row.attempts) == (1, 1, 6)


@pytest.mark.parametrize("elsewhere", [{"offset": 2}, {"offset": 1, "partition": 1}])
async def test_another_delivery_that_failed_adds_to_the_open_failure(
    writer: Writer, elsewhere: dict[str, int]
) -> None:
    """Attempts and occurrences add up; the row tells of the last, and when it failed first."""
    first = writer.failed(writer.event(b"1", offset=1), attempt=6)
    last = writer.failed(writer.event(b"1", **elsewhere), ValueError("last"), attempt=2)
    await writer.fail(first)
    await writer.fail(last)
    [row] = await writer.rows(FailureRow)
    assert (row.partition, row.offset) == (elsewhere.get("partition", 0), elsewhere["offset"])
    assert (row.occurrences, row.attempts, row.error_message) == (2, 8, "last")
    assert (row.first_failed_at, row.last_failed_at) == (first.first_failed_at, last.last_failed_at)


async def test_a_success_resolves_the_open_failure_of_its_event_only(writer: Writer) -> None:
    """The row stays, for whoever looks for it, and the event may fail anew later."""
    events = [writer.event(b"%d" % n, offset=n) for n in range(3)]
    await writer.fail(*(writer.failed(event) for event in events))
    await writer.resolve(events[1])
    rows = await writer.rows(FailureRow)
    assert [row.status for row in rows] == ["open", "resolved", "open"]
    await writer.fail(writer.failed(events[1]), writer.failed(events[2]))
    statuses = [(row.offset, row.status) for row in await writer.rows(FailureRow)]
    assert sorted(statuses) == [(0, "open"), (1, "open"), (1, "resolved"), (2, "open")]


class UnprintableError(Exception):
    """An error that cannot say what it is about."""

    def __str__(self) -> str:
        """Raise."""
        raise LookupError


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x" * 1_000_000),
        ValueError("\N{WAVING HAND SIGN}" * 100_000),
        ValueError("a\x00b\udcffc'\\%s:d"),
        UnprintableError(),
        type("E" * 10_000, (Exception,), {})(),
        ExceptionGroup("\x00", [ValueError("\ud800")]),
    ],
    ids=["long", "long emoji", "no text", "unprintable", "long class", "group"],
)
async def test_no_error_is_too_odd_to_be_recorded(writer: Writer, error: Exception) -> None:
    """A failure that could not be written would hold up its partition."""
    await writer.fail(writer.failed(writer.event(b"1"), error))
    [row] = await writer.rows(FailureRow)
    assert type(error).__name__[:100] in row.error_class
    assert isinstance(orjson.loads(row.error_backtrace), list)


async def test_whoever_writes_an_event_first_it_has_one_row(tables: Database) -> None:
    """Batches that overlap, in opposite orders, at once: deadlocks are ridden out."""
    writers = [Writer(tables) for _ in range(4)]
    events = [writers[0].event(b"%d" % n, offset=n) for n in range(50)]
    orders = [events, events[::-1], events[25:] + events[:25], events[::2]]

    async def write(writer: Writer, order: list[Event]) -> None:
        await Outages(AT_ONCE).ride_out(lambda: writer.ack(*order))

    await asyncio.gather(*map(write, writers, orders))
    assert sorted(offsets(await writers[0].rows(EventRow))) == list(range(50))


async def test_whoever_fails_at_an_event_first_it_has_one_open_failure(tables: Database) -> None:
    """Each partition's copy of it is counted."""
    writers = [Writer(tables) for _ in range(2)]

    async def write(writer: Writer, partition: int) -> None:
        failed = [
            writer.failed(writer.event(b"%d" % n, offset=n, partition=partition)) for n in range(5)
        ]
        ordered = failed[::-1] if partition % 2 else failed
        await Outages(AT_ONCE).ride_out(lambda: writer.fail(*ordered))

    await asyncio.gather(*map(write, writers, range(2)))
    rows = await writers[0].rows(FailureRow)
    assert sorted((row.offset, row.occurrences, row.attempts) for row in rows) == [
        (n, 2, 2) for n in range(5)
    ]


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
async def test_an_event_is_not_lost_with_the_transaction_that_was_first(
    request: pytest.FixtureRequest, server: str
) -> None:
    """Two wait for a third that rolls back: on MariaDB one of them is a deadlock's victim."""
    async with database(request.getfixturevalue(f"{server}_url")) as tables:
        writer = Writer(tables)
        event = writer.event(b"1")
        async with tables.engine.connect() as first:
            await store.record(first, writer.handler, Outcomes(acked=[(event, ACK)]))
            waiting = [
                asyncio.create_task(Outages(AT_ONCE).ride_out(lambda: writer.ack(event)))
                for _ in range(2)
            ]
            await eventually_async(lambda: wait_for_locks(tables, 2))
            await first.rollback()
        await asyncio.gather(*waiting)
        assert len(await writer.rows(EventRow)) == 1
        async with tables.engine.connect() as connection:
            known = await queries.known(connection, [event])
        assert known.recorded == {event.identity}


async def wait_for_locks(tables: Database, count: int) -> None:
    """Check that so many statements wait for another transaction's lock."""
    waiting = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
        "mysql": """
            SELECT COUNT(*) FROM information_schema.processlist
            WHERE state = 'Update' AND user = SUBSTRING_INDEX(USER(), '@', 1)
        """,
    }
    async with tables.engine.connect() as connection:
        assert await connection.scalar(text(waiting[tables.dialect])) == count
