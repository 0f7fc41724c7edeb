"""The checkpoint's tables on a server of the benchmark's own, as seen from outside."""

import asyncio

from app.checkpoint.models import EVENTS
from benchmarks.rounds import administrator_url, connected
from benchmarks.runs import empty_tables
from tests.servers import PostgreSQL


def begin_empty(postgresql: PostgreSQL) -> str:
    """Have empty tables in the server's own database; return its URL."""
    url = administrator_url(postgresql)
    asyncio.run(_empty(url))
    return url


def rows(postgresql: PostgreSQL) -> int:
    """Return how many events have committed rows."""
    [(count,)] = postgresql.execute(f"SELECT count(*) FROM {EVENTS.name}")  # noqa: S608 - our own
    return int(str(count))


def settled(postgresql: PostgreSQL) -> int:
    """Return how many events have had rows, at no cost, where no two events are alike."""
    # Each has taken one number; those of a transaction that goes on are among them.
    sequence = f"SELECT last_value, is_called FROM {EVENTS.name}_id_seq"  # noqa: S608 - our own
    [(number, used)] = postgresql.execute(sequence)
    return int(str(number)) if used else 0


async def _empty(url: str) -> None:
    async with connected(url) as connection:
        await empty_tables(connection)
