"""One run of one case: a new process on a topic that is full, timed from outside."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.models import TABLES, EventRow
from benchmarks.cases import Case
from benchmarks.task import Report, Task

LIMIT = 300.0
"""Seconds after which a run that has not ended is an error."""
POLL = 0.005
"""Seconds between two looks at whether a process has reported."""
EMPTY = {
    "postgresql": "TRUNCATE {} RESTART IDENTITY",
    "mysql": "TRUNCATE TABLE {}",
    "sqlite": "DELETE FROM {}",
}
"""What empties a table."""
WRITE_OUT = {"postgresql": "CHECKPOINT", "sqlite": "PRAGMA wal_checkpoint(TRUNCATE)"}
"""What has the database write to the disk what it has put off; MariaDB has nothing like it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one run of a case has shown."""

    events_per_s: float
    rss_mb: float


async def measure(
    case: Case, task: Task, connection: AsyncConnection, *, after: int = 0
) -> Measurement:
    """Run a case, and time it from its first event to its last outcome.

    Args:
        case: what is run.
        task: what it is told.
        connection: as administrator.
        after: the last id of what is in the table before, if the case does not empty it.

    Raises:
        RuntimeError: its process ended before its time; the message carries its output.
        TimeoutError: it takes too long.
    """
    if case.empties:
        await empty_tables(connection)
    if case.writes_out and connection.dialect.name in WRITE_OUT:
        await connection.exec_driver_sql(WRITE_OUT[connection.dialect.name])
    async with asyncio.timeout(LIMIT):
        with _running(case, task) as process:
            report = await _report(process, Path(task.report))
            end = await _recorded(connection, task.events, after) if case.records else report.last
    rate = task.events / (end - report.first)
    return Measurement(events_per_s=rate, rss_mb=report.rss_mb)


async def empty_tables(connection: AsyncConnection) -> None:
    """Delete all rows of the checkpoint."""
    for table in TABLES:
        await connection.exec_driver_sql(EMPTY[connection.dialect.name].format(table.name))


@contextmanager
def _running(case: Case, task: Task) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **task.environment()}
    environment.pop("PYTHONOPTIMIZE", None)
    with _log(task).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *case.command],
            cwd=Path(__file__).parents[1],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    except RuntimeError as error:
        message = f"{case.name} {error}; its output:\n{_log(task).read_text()[-4000:]}"
        raise RuntimeError(message) from None
    finally:
        # Its group and its rows are nobody's any more: there is no need to end in order.
        process.kill()
        process.wait()


def _log(task: Task) -> Path:
    return Path(task.report).with_suffix(".log")


async def _report(process: subprocess.Popen[bytes], path: Path) -> Report:
    while True:
        ended = process.poll()
        # Looked for after it was seen to run: a process that ends in order has reported.
        with suppress(FileNotFoundError):
            return Report.read(path)
        if ended is not None:
            message = f"ended with status {ended}"
            raise RuntimeError(message)
        await asyncio.sleep(POLL)


async def _recorded(connection: AsyncConnection, events: int, after: int) -> float:
    """Return the time at which another connection sees a row of every event."""
    table = EventRow.__tablename__
    count = f"SELECT count(*) FROM {table} WHERE id > {after}"  # noqa: S608 - our own table
    while True:
        result = await connection.exec_driver_sql(count)
        now = time.monotonic()
        if result.scalar_one() == events:
            return now
