"""Whoever asks whether the service can do its work is told what is wrong, and no secret."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.checkpoint import Health, Reader
from app.checkpoint.consumer import Consumer, Transport
from app.checkpoint.health import FRESH_SECONDS, POLL_SECONDS
from app.checkpoint.lanes import Lanes, Progress
from tests.checkpoint.desk import Desk
from tests.checkpoint.mock_kafka import MockKafka
from tests.checkpoint.service import Hold, Log, Service
from tests.checkpoint.test_lanes import ORDERS, Settled, crashed, records
from tests.polling import eventually_async

WELL = {"database": "ok", "schema": "ok"}
NOBODY = "postgresql://anna:secret@127.0.0.1:9/orders"


@asynccontextmanager
async def looked_at(desk: Desk, database_url: str) -> AsyncIterator[Health]:
    """Return what looks at a service."""
    reader = Reader(database_url)
    yield Health(desk.checkpoint, desk.app, reader)
    await reader.close()


@asynccontextmanager
async def working(desk: Desk, settled: Settled) -> AsyncIterator[Consumer]:
    """Have a service look like a worker whose topic is settled like this."""
    lanes = Lanes(grace=1, on_crash=crashed)
    lanes.add("orders", settled)
    desk.app.transport = Transport(desk.app.conf.broker_consumer, desk.app, lanes=lanes)
    lanes.deliver(ORDERS, records(0))
    consumer = desk.app.consumer
    assert isinstance(consumer, Consumer)
    yield consumer
    settled.open.set()
    await lanes.drain()
    # Made for the thread that never started.
    consumer._thread.thread_loop.close()  # noqa: SLF001 - Faust closes it only after a start


async def test_a_process_that_consumes_nothing_needs_its_database(database_url: str) -> None:
    """Such as one that only serves the API."""
    async with Desk(database_url).opened() as desk, looked_at(desk, database_url) as health:
        assert await health.checks() == WELL


async def test_tables_that_are_missing_are_named_with_the_remedy(database_url: str) -> None:
    """The answer of a while ago is not asked for again; then it is."""
    async with Desk(database_url).opened() as desk, looked_at(desk, database_url) as health:
        async with desk.database.engine.begin() as connection:
            await connection.execute(text("DROP TABLE checkpoint_audit"))
        found = await health.checks()
        assert found["database"] == "ok"
        assert "checkpoint_audit" in found["schema"]
        assert "alembic upgrade head" in found["schema"]


async def test_a_database_that_is_away_is_told_without_its_url() -> None:
    """Anybody may ask, so nobody learns where it is."""
    desk = Desk(NOBODY)
    async with looked_at(desk, NOBODY) as health:
        assert await health.checks() == {"database": "it does not answer", "schema": "not known"}
    await desk.replay.close()
    await desk.database.close()


async def test_many_who_ask_at_once_are_one_to_the_database(sqlite_url: str) -> None:
    """For so long its answer counts; what is wrong after that is seen."""
    async with Desk(sqlite_url).opened() as desk, looked_at(desk, sqlite_url) as health:
        assert await asyncio.gather(*(health.checks() for _ in range(20))) == [WELL] * 20
        asked = time.monotonic()
        async with desk.database.engine.begin() as connection:
            await connection.execute(text("DROP TABLE checkpoint_audit"))
        if time.monotonic() - asked < FRESH_SECONDS / 2:
            assert await health.checks() == WELL

        async def seen() -> None:
            assert (await health.checks())["schema"] != "ok"

        await eventually_async(seen)


async def test_a_worker_that_has_joined_and_polls_is_well(sqlite_url: str, tmp_path: Path) -> None:
    """An event in hand is none that stands still."""
    with MockKafka() as kafka:
        log = Log(kafka.bootstrap)
        log.produce(b"0")
        hold = Hold(0)
        service = Service(log, sqlite_url, tmp_path, hold=hold)
        reader = Reader(sqlite_url)
        health = Health(service.checkpoint, service.app, reader)
        async with service.running():
            await asyncio.wait_for(hold.reached.wait(), 30)
            at_work = {"agents": "ok", "consumer": "ok", "lanes": "ok"}
            assert await health.checks() == WELL | at_work
            hold.release.set()
        await reader.close()


async def test_a_consumer_that_no_longer_polls_is_seen(sqlite_url: str) -> None:
    """The group is about to do without it."""
    async with (
        Desk(sqlite_url).opened() as desk,
        looked_at(desk, sqlite_url) as health,
        working(desk, Settled()) as consumer,
    ):
        assert (await health.checks())["consumer"] == "it has not joined its group yet"
        consumer.polled_at = time.monotonic() - POLL_SECONDS / 2
        assert (await health.checks())["consumer"] == "ok"
        consumer.polled_at = time.monotonic() - POLL_SECONDS - 1
        assert (await health.checks())["consumer"] == "it has not polled for 16 seconds"


async def test_an_event_that_no_timeout_ends_is_seen(sqlite_url: str) -> None:
    """It has been in hand for longer than decoder and handler may take, and the grace time."""
    async with Desk(sqlite_url, timeout=0.01, grace=0.01).opened() as desk:
        settled = Settled()
        settled.open.clear()
        async with looked_at(desk, sqlite_url) as health, working(desk, settled):

            async def seen() -> None:
                assert (await health.checks())["lanes"].startswith("an event has been in hand")

            await eventually_async(seen)
            settled.open.set()

            async def over() -> None:
                assert (await health.checks())["lanes"] == "ok"

            await eventually_async(over)


@pytest.mark.parametrize(
    ("options", "progress"),
    [({"timeout": None}, None), ({"timeout": 300.0}, None), ({"timeout": 0.01}, 3600.0)],
    ids=["no limit", "in time", "backoff"],
)
async def test_a_lane_that_has_a_reason_to_wait_is_well(
    sqlite_url: str, options: dict[str, Any], progress: float | None
) -> None:
    """A handler that may take its time, and an event that is to be retried in an hour."""
    async with Desk(sqlite_url, grace=0.01, **options).opened() as desk:
        settled = Settled(*([Progress(done=0, delay=progress)] if progress else []))
        if progress is None:
            settled.open.clear()
        async with looked_at(desk, sqlite_url) as health, working(desk, settled):

            async def begun() -> None:
                assert settled.batches

            await eventually_async(begun)
            until = time.monotonic() + 0.1

            async def past() -> None:
                assert (await health.checks())["lanes"] == "ok"
                assert time.monotonic() > until

            await eventually_async(past)


async def test_a_database_that_takes_no_outcomes_is_seen(sqlite_url: str) -> None:
    """Also where it can be read: it may be full, or read only."""
    async with Desk(sqlite_url).opened() as desk, looked_at(desk, sqlite_url) as health:
        full = asyncio.Event()

        async def work() -> None:
            if not full.is_set():
                raise OperationalError(None, None, OSError(28, "disk full"))

        async with working(desk, Settled()):
            waiting = asyncio.ensure_future(desk.checkpoint.outages.ride_out(work))

            async def seen() -> None:
                assert "has taken no outcomes" in (await health.checks())["lanes"]

            await eventually_async(seen)
            full.set()
            await waiting
            assert (await health.checks())["lanes"] == "ok"
