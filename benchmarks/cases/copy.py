"""COPY of the rows that the case before left, into the same table with its indexes: the limit."""

import asyncio

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import Table

from app.checkpoint.models import EventRow
from benchmarks.task import Stopwatch, Task


async def copy(task: Task) -> None:
    """Take the rows out of the table and copy them in again, in one go."""
    stopwatch = Stopwatch(task)
    table: Table = EventRow.__table__  # type: ignore[assignment]
    columns = [column.name for column in table.columns if column.name != "id"]
    names = ", ".join(f'"{name}"' for name in columns)
    # Not through SQLAlchemy: the driver alone is the limit.
    connection = await asyncpg.connect(task.database_url)
    rows = await connection.fetch(f"SELECT {names} FROM {table.name} ORDER BY id")  # noqa: S608
    await connection.execute(f"TRUNCATE {table.name}")
    await connection.execute("CHECKPOINT")
    stopwatch.start()
    await connection.copy_records_to_table(table.name, records=rows, columns=columns)
    stopwatch.stop()
    await connection.close()


if __name__ == "__main__":
    asyncio.run(copy(Task.from_environment()))
