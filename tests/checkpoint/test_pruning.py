"""A run deletes beside others, rests, can be ended anywhere, and is begun again by workers."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError

from app.checkpoint import Checkpoint, ConflictError, Pruned, Pruner, PruneSchedule, Retention
from app.checkpoint.database import Database
from app.checkpoint.errors import SchemaError
from app.checkpoint.models import EVENTS
from app.checkpoint.pruning import REST, PruneTimer
from app.checkpoint.testing import database
from tests.checkpoint.queries import rows
from tests.polling import eventually_async

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
KEEP = Retention(events=timedelta(days=30))
MANY = 1_000
"""More than go in a few batches: the first ones are small."""


@pytest.fixture
async def on_postgresql(postgresql_url: str) -> AsyncIterator[Database]:
    """Return a database whose locks can be watched."""
    async with database(postgresql_url) as tables:
        yield tables


async def test_a_run_says_what_it_has_done(tables: Database) -> None:
    """Batch after batch, and at its end."""
    await record(tables, range(1, MANY + 1))
    await record(tables, [MANY + 1], at=datetime.now(UTC))
    told: list[Pruned] = []
    pruned = await pruner(tables, tell=told.append).run()
    assert (pruned.rows, pruned.complete) == ({"events": MANY}, True)
    counts = [each.rows["events"] for each in told]
    assert counts == sorted(counts)
    assert 0 < counts[0] < MANY
    assert not any(each.complete for each in told)
    assert await count(tables) == 1


async def test_a_dry_run_counts_what_would_go(tables: Database) -> None:
    """And nothing goes."""
    await record(tables, range(1, 11))
    pruned = await pruner(tables, dry_run=True).run()
    assert (pruned.rows, pruned.complete) == ({"events": 10}, True)
    assert await count(tables) == 10


async def test_a_run_ends_after_the_batch_in_hand(tables: Database) -> None:
    """What it has deleted is deleted; the next one goes on with the rest."""
    await record(tables, range(1, MANY + 1))
    first = pruner(tables, tell=lambda _: first.stop())
    ended = await first.run()
    assert not ended.complete
    assert await count(tables) == MANY - ended.rows["events"] > 0
    rest = await pruner(tables).run()
    assert ended.rows["events"] + rest.rows["events"] == MANY


async def test_two_at_once_delete_each_row_once(tables: Database) -> None:
    """On a server, the second one is told so and ends; on SQLite they take turns."""
    await record(tables, range(1, MANY + 1))
    runs = [pruner(tables).run() for _ in range(2)]
    results = await asyncio.gather(*runs, return_exceptions=True)
    done = [each for each in results if isinstance(each, Pruned)]
    assert sum(each.rows["events"] for each in done) == MANY
    if tables.dialect != "sqlite":
        [refused] = [each for each in results if isinstance(each, ConflictError)]
        assert str(refused).startswith("another process prunes this database")
    assert len(done) == (2 if tables.dialect == "sqlite" else 1)


async def test_the_turn_ends_with_a_run(tables: Database) -> None:
    """Nobody has to give it back, however a run ended."""
    await record(tables, range(1, MANY + 1))
    begun = asyncio.Event()
    run = asyncio.create_task(pruner(tables, tell=lambda _: begun.set()).run())
    await begun.wait()
    run.cancel()
    await asyncio.wait([run])
    assert (await pruner(tables).run()).complete
    assert await count(tables) == 0


async def test_tables_of_an_older_service_are_left_alone(sqlite_url: str) -> None:
    """The sentence names the command to run."""
    with pytest.raises(SchemaError, match="alembic upgrade head"):
        await Pruner(sqlite_url, KEEP).run()


async def test_a_batch_rests_as_long_as_it_has_held_others_up(on_postgresql: Database) -> None:
    """Nine times as long; one that had to wait for a lock is followed by a long rest."""
    await record(on_postgresql, range(1, 11))
    held = 0.1
    async with holding(on_postgresql) as waiting:
        run = asyncio.create_task(pruner(on_postgresql).run())
        await waiting()
        # Not until something happens: this is how long it does not.
        await asyncio.sleep(held)
    assert (await run).seconds > (1 + REST) * held
    assert await count(on_postgresql) == 0


async def test_a_batch_that_the_database_gives_up_is_done_again(on_postgresql: Database) -> None:
    """As the loser of a deadlock, or at a time limit of the server's."""
    await record(on_postgresql, range(1, 11))
    async with holding(on_postgresql) as waiting:
        run = asyncio.create_task(pruner(on_postgresql).run())
        await waiting()
        await end_of_waiting(on_postgresql, "pg_cancel_backend")
    pruned = await run
    assert (pruned.rows, pruned.complete) == ({"events": 10}, True)


async def test_a_lost_connection_ends_a_run(on_postgresql: Database) -> None:
    """Its turn is lost with it."""
    await record(on_postgresql, range(1, 11))
    async with holding(on_postgresql) as waiting:
        run = asyncio.create_task(pruner(on_postgresql).run())
        await waiting()
        await end_of_waiting(on_postgresql, "pg_terminate_backend")
        with pytest.raises(DBAPIError):
            await run
    assert await count(on_postgresql) == 10


async def test_a_worker_prunes_again_and_again(
    tables: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """What comes when a run has ended goes later."""
    await record(tables, [1])
    caplog.set_level("INFO", "app.checkpoint")
    async with timed(tables):
        await eventually_async(lambda: has_logged(caplog, "checkpoint.pruned"))
        await record(tables, [2])
        await eventually_async(lambda: is_empty(tables))


async def test_a_worker_says_what_it_has_deleted(
    tables: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """In one line of the log for each run."""
    await record(tables, range(1, 11))
    caplog.set_level("INFO", "app.checkpoint")
    async with timed(tables, every=timedelta(hours=1)):
        await eventually_async(lambda: has_logged(caplog, "checkpoint.pruned"))
    [line] = [each for each in caplog.messages if each.startswith("checkpoint.pruned")]
    assert line.endswith("complete=True events=10")


async def test_a_worker_stops_at_once(tables: Database) -> None:
    """However much there is left."""
    await record(tables, range(1, MANY + 1))
    async with timed(tables, every=timedelta(hours=1)):
        await eventually_async(lambda: is_less_than(tables, MANY))
        stopped_at = time.monotonic()
    assert time.monotonic() - stopped_at < 5
    assert await count(tables) > 0


async def test_a_worker_prunes_once_the_database_is_back(
    tables: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It says why it could not, and tries again after the interval."""
    await record(tables, [1])
    await rename(tables, EVENTS.name, "hidden")
    async with timed(tables):
        await eventually_async(lambda: has_logged(caplog, "checkpoint.prune_failed"))
        await rename(tables, "hidden", EVENTS.name)
        await eventually_async(lambda: is_empty(tables))


async def test_a_worker_deletes_nothing_by_itself(tables: Database) -> None:
    """Unless somebody has said what."""
    await record(tables, [1])
    async with timed(tables, keep=Retention()) as timer:
        assert not timer._futures  # noqa: SLF001 - mode does not show what a service does
    assert await count(tables) == 1


def pruner(
    tables: Database, *, dry_run: bool = False, tell: Callable[[Pruned], None] = lambda _: None
) -> Pruner:
    """Return what deletes the old events."""
    return Pruner(url_of(tables), KEEP, dry_run=dry_run, tell=tell)


@asynccontextmanager
async def timed(
    tables: Database, *, keep: Retention = KEEP, every: timedelta = timedelta(milliseconds=10)
) -> AsyncIterator[PruneTimer]:
    """Prune as a worker does."""
    checkpoint = Checkpoint(url_of(tables))
    checkpoint.pruning = PruneSchedule(keep=keep, every=every)
    timer = PruneTimer(checkpoint)
    await timer.start()
    try:
        yield timer
    finally:
        await timer.stop()
        await checkpoint.database.close()


@asynccontextmanager
async def holding(tables: Database) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Hold a lock on all events; yields what returns once a batch waits for it."""

    async def waiting() -> None:
        async def waits() -> None:
            assert await waiting_for_a_lock(tables)

        await eventually_async(waits)

    async with tables.engine.begin() as connection:
        await connection.execute(select(EVENTS.c.id).with_for_update())
        yield waiting


async def waiting_for_a_lock(tables: Database) -> list[int]:
    """Return the processes of PostgreSQL that wait for a lock."""
    waiting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type"
    async with tables.engine.connect() as connection:
        pids = await connection.scalars(text(f"SELECT pid {waiting} = 'Lock'"))
        return list(pids)


async def end_of_waiting(tables: Database, how: str) -> None:
    """Have whatever waits for a lock wait no more."""
    [pid] = await waiting_for_a_lock(tables)
    async with tables.engine.connect() as connection:
        await connection.execute(text(f"SELECT {how}({pid})"))


async def record(tables: Database, numbers: Iterable[int], *, at: datetime = LONG_AGO) -> None:
    """Store events."""
    stored = [rows.event(number, created_at=at) for number in numbers]
    async with tables.engine.begin() as connection:
        await connection.execute(insert(EVENTS), stored)


async def count(tables: Database) -> int:
    """Return how many events are left."""
    async with tables.engine.connect() as connection:
        return await connection.scalar(select(func.count()).select_from(EVENTS)) or 0


async def is_empty(tables: Database) -> None:
    """Check that no event is left."""
    assert await count(tables) == 0


async def is_less_than(tables: Database, most: int) -> None:
    """Check that an event has gone."""
    assert await count(tables) < most


async def has_logged(caplog: pytest.LogCaptureFixture, event: str) -> None:
    """Check that there is a line of this name."""
    assert any(line.startswith(f"{event} ") for line in caplog.messages)


async def rename(tables: Database, table: str, name: str) -> None:
    """Take a table away, or bring it back."""
    async with tables.engine.begin() as connection:
        await connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {name}")


def url_of(tables: Database) -> str:
    """Return the URL of a database."""
    return tables.url.render_as_string(hide_password=False)
