"""Rows that are kept no longer."""

from sqlalchemy import ColumnElement, Table, delete, text
from sqlalchemy.ext.asyncio import AsyncConnection

TURNS = {
    "postgresql": "SELECT pg_try_advisory_lock("
    "hashtext('checkpoint_prune'), hashtext(current_schema()))",
    # The name is for the whole server, and MySQL wants it short.
    "mysql": "SELECT GET_LOCK(CONCAT('checkpoint_prune.', MD5(DATABASE())), 0)",
}


async def take_turn(connection: AsyncConnection) -> bool:
    """Return whether this connection may delete, until it is closed; of several, one may.

    On SQLite all may: what counts there is how long each holds the one lock for writers.
    """
    statement = TURNS.get(connection.dialect.name)
    return statement is None or bool(await connection.scalar(text(statement)))


async def delete_rows(connection: AsyncConnection, table: Table, which: ColumnElement[bool]) -> int:
    """Delete the rows for which this holds, and return how many there were."""
    return (await connection.execute(delete(table).where(which))).rowcount
