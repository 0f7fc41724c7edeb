"""One question tells what is known of a batch, in one round trip and by index."""

import re
from typing import Any

from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text

from app.checkpoint import queries
from app.checkpoint.database import Database
from app.checkpoint.errors import ProcessDiedError
from app.checkpoint.events import Event
from app.checkpoint.queries import Known
from tests.checkpoint.writer import Writer

ROWS = 2000


class Statements:
    """Remembers the statements that a database is sent."""

    def __init__(self, tables: Database) -> None:
        self.sent: list[tuple[str, Any]] = []
        sqlalchemy_event.listen(tables.engine.sync_engine, "before_cursor_execute", self._remember)

    def _remember(self, _: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if not statement.startswith("BEGIN"):
            self.sent.append((statement, parameters))


async def known(tables: Database, *events: Event) -> Known:
    """Ask what is known of events."""
    async with tables.engine.connect() as connection:
        return await queries.known(connection, events)


async def test_recorded_and_failed_events_are_known(writer: Writer) -> None:
    """And those that are neither are not; a failure is known by where it failed last."""
    recorded, failed, new = (writer.event(b"%d" % n, offset=n) for n in range(3))
    await writer.ack(recorded)
    await writer.fail(writer.failed(failed))
    found = await known(writer.database, recorded, failed, new)
    assert found.recorded == {recorded.identity}
    assert found.failures == {failed.identity: (0, 1)}
    await writer.fail(writer.failed(writer.event(b"1", offset=9, partition=3)))
    assert (await known(writer.database, failed)).failures == {failed.identity: (3, 9)}


async def test_a_failure_that_was_settled_is_not_known(writer: Writer) -> None:
    """Its event has a row now; one that fails again is known again."""
    event = writer.event(b"1", offset=1)
    await writer.fail(writer.failed(event))
    await writer.resolve(event)
    found = await known(writer.database, event)
    assert (found.recorded, found.failures) == ({event.identity}, {})


async def test_what_others_have_recorded_is_not_known(writer: Writer) -> None:
    """Equal content of another topic, group or agent is another event."""
    await writer.ack(writer.event(b"1"))
    await writer.fail(writer.failed(writer.event(b"2")))
    tables = writer.database
    for value in (b"1", b"2"):
        others = [
            writer.event(value, topic="Orders"),
            Writer(tables, group_id="Service").event(value),
            Writer(tables, agent="orders ").event(value),
        ]
        assert await known(tables, *others) == Known(recorded=set(), failures={})


async def test_a_whole_batch_is_one_round_trip(writer: Writer) -> None:
    """Of a known event, of a failed one, and of 500."""
    events = [writer.event(b"%d" % n, offset=n) for n in range(500)]
    await writer.ack(*events[:250])
    await writer.fail(*(writer.failed(event) for event in events[250:300]))
    statements = Statements(writer.database)
    found = await known(writer.database, *events)
    assert len(statements.sent) == 1
    assert found.recorded == {event.identity for event in events[:250]}
    assert found.failures == {event.identity: (0, event.record.offset) for event in events[250:300]}


async def test_a_redelivery_is_settled_and_content_sent_anew_is_not(writer: Writer) -> None:
    """Unless it is recorded: that settles it wherever it comes from."""
    await writer.ack(writer.event(b'"recorded"', offset=1))
    await writer.fail(writer.failed(writer.event(b"failed", offset=2, partition=1)))
    cases = {
        writer.event(b'"recorded"', offset=1): True,
        writer.event(b'"recorded"', offset=8, partition=1): True,
        writer.event(b"failed", offset=2, partition=1): True,
        writer.event(b"failed", offset=2, partition=2): False,
        writer.event(b"failed", offset=3, partition=1): False,
        writer.event(b"new", offset=1): False,
    }
    found = await known(writer.database, *cases)
    assert [found.settled(event) for event in cases] == list(cases.values())


async def test_what_ended_the_process_is_settled_wherever_it_comes_from(writer: Writer) -> None:
    """A twin would end it as well."""
    killer = writer.event(b"1", offset=1)
    await writer.fail(writer.failed(killer, ProcessDiedError(3)))
    twin = writer.event(b"1", offset=7, partition=2)
    found = await known(writer.database, twin)
    assert found.failures == {killer.identity: None}
    assert found.settled(killer)
    assert found.settled(twin)
    assert not found.settled(writer.event(b"2", offset=1))


async def plan(tables: Database, statement: str, parameters: Any) -> str:
    """Return how a database goes about a statement."""
    async with tables.engine.connect() as connection:
        if tables.dialect == "postgresql":
            # As after five executions of a prepared statement: planned for any parameters.
            await connection.execute(text("SET plan_cache_mode = force_generic_plan"))
            await connection.exec_driver_sql(f"PREPARE probe (bytea[]) AS {statement}")
            explain, parameters = "EXPLAIN EXECUTE probe ('{}')", ()
        else:
            explain = "EXPLAIN QUERY PLAN " if tables.dialect == "sqlite" else "EXPLAIN "
            explain += statement
        return "\n".join(map(str, await connection.exec_driver_sql(explain, parameters)))


async def test_the_question_is_answered_by_the_unique_indexes(writer: Writer) -> None:
    """Not by reading the tables, also where the plan was made before the question was known."""
    tables = writer.database
    for start in range(0, ROWS, 500):
        events = [writer.event(b"%d" % n, offset=n) for n in range(start, start + 500)]
        await writer.ack(*events)
    await writer.fail(*(writer.failed(writer.event(b"-%d" % n, offset=n)) for n in range(500)))
    async with tables.engine.begin() as connection:
        for table in ("checkpoint_events", "checkpoint_failures"):
            analyze = "ANALYZE TABLE" if tables.dialect == "mysql" else "ANALYZE"
            await connection.execute(text(f"{analyze} {table}"))
    statements = Statements(tables)
    await known(tables, *events[:10])
    [(statement, parameters)] = statements.sent
    found = await plan(tables, statement, parameters)
    assert "ix_checkpoint_events_identity" in found
    assert "ix_checkpoint_failures_open_key" in found
    assert not re.search(r"Seq Scan|SCAN checkpoint|'ALL'", found)
