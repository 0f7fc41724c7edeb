"""`faust -A app prune`: what it deletes and says, and that it, or a worker, may be ended in it."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from signal import SIGINT, SIGKILL, SIGTERM, Signals

import pytest
from sqlalchemy import insert, select

from app.checkpoint.database import Database
from app.checkpoint.models import EVENTS
from tests.checkout import ROOT, environment, run
from tests.checkpoint.queries import rows
from tests.end_to_end.stage import Stage, migrate
from tests.end_to_end.worker import Worker
from tests.polling import eventually

PRUNE = ("faust", "-A", "app", "prune")
OLD, YOUNG = 3_000, 5
"""Events; the old ones take the command a second."""
EACH_DATABASE = pytest.mark.parametrize(
    "database_url",
    [
        "postgresql",
        pytest.param("sqlite", marks=pytest.mark.full),
        pytest.param("mariadb", marks=pytest.mark.full),
    ],
    indirect=True,
)


@pytest.fixture
def filled_url(database_url: str) -> str:
    """Return the URL of a database with old and with young events."""
    migrate(database_url)
    asyncio.run(fill(database_url))
    return database_url


@EACH_DATABASE
def test_a_dry_run_counts(filled_url: str) -> None:
    """It says how many would go, and none goes."""
    result = run(ROOT, *PRUNE, "--events", "90d", "--dry-run", DATABASE_URL=filled_url)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].startswith(f"Would delete: events {OLD:,}; ")
    assert count(filled_url) == (OLD, YOUNG)


@EACH_DATABASE
def test_it_may_be_killed_anywhere(filled_url: str) -> None:
    """What is deleted by then is deleted; the next run goes on, and then nothing is left."""
    with pruning(filled_url) as killed:
        killed.send_signal(SIGKILL)
        assert killed.wait(30) == -SIGKILL
    old, young = count(filled_url)
    assert 0 < old < OLD
    assert young == YOUNG
    result = run(ROOT, *PRUNE, "--events", "90d", DATABASE_URL=filled_url)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].startswith(f"Deleted: events {old:,}; ")
    assert count(filled_url) == (0, YOUNG)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("signal", [SIGINT, pytest.param(SIGTERM, marks=pytest.mark.full)])
def test_it_ends_in_order_when_told_to(filled_url: str, signal: Signals) -> None:
    """With a summary of what is deleted, and a status that tells of the rest."""
    with pruning(filled_url) as told:
        told.send_signal(signal)
        printed, said = told.communicate(timeout=30)
    assert told.returncode == 1
    assert said == "Stopped before the end: run it again to go on\n"
    old, young = count(filled_url)
    assert 0 < old < OLD
    assert young == YOUNG
    assert printed.splitlines()[-1].startswith(f"Deleted: events {OLD - old:,}; ")


def test_a_worker_prunes_when_told_to(stage: Stage) -> None:
    """One that only answers over HTTP leaves it to those that consume."""
    asyncio.run(fill(stage.database_url))
    start = partial(
        stage.start, service="app", SOURCE_TOPIC=stage.topic("plain"), PRUNE="events=90d"
    )
    web_only = start(ready=False, web=True, WEB_ONLY="true")
    eventually(lambda: has_said(web_only, "[^Worker]: Ready"), timeout=60)
    assert web_only.end() == 0
    assert count(stage.database_url) == (OLD, YOUNG)
    worker = start()
    eventually(lambda: has_said(worker, f"complete=True events={OLD}"), timeout=60)
    assert count(stage.database_url) == (0, YOUNG)
    assert worker.end() == 0


def has_said(worker: Worker, text: str) -> None:
    """Check that a worker has printed this."""
    assert text in worker.output


@contextmanager
def pruning(database_url: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command; it has begun to delete, and is killed in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", *PRUNE, "--events", "90d"],
        cwd=ROOT,
        env=environment(DATABASE_URL=database_url, PYTHONUNBUFFERED="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Deleted so far: events ")
            yield process
        finally:
            process.kill()


async def fill(database_url: str) -> None:
    """Store the events."""
    now = datetime.now(UTC)
    recorded = [now - timedelta(days=99)] * OLD + [now] * YOUNG
    stored = [rows.event(number, created_at=at) for number, at in enumerate(recorded, start=1)]
    database = Database(database_url)
    async with database.engine.begin() as connection:
        await connection.execute(insert(EVENTS), stored)
    await database.close()


def count(database_url: str) -> tuple[int, int]:
    """Return how many old and how many young events are left."""

    async def ids() -> list[int]:
        database = Database(database_url)
        async with database.engine.connect() as connection:
            found = list(await connection.scalars(select(EVENTS.c.id)))
        await database.close()
        return found

    left = asyncio.run(ids())
    old = sum(each <= OLD for each in left)
    return old, len(left) - old
