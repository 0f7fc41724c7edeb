"""Whoever works on a row says so, again and again; who has died is found by their silence."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

LEASE_SECONDS = 30.0
"""After so long a silence, by the database's clock, a claim may be taken over."""
RENEWAL_SECONDS = LEASE_SECONDS / 4
"""How often a claim is renewed."""
MAX_STARTS = 3
"""How often a process may end while it handles one event alone, until the event is to blame."""


def new_claim() -> str:
    """Return a name that no other claim has, and that tells an operator where it comes from."""
    return f"{socket.gethostname()[:128]}:{os.getpid()}:{uuid4().hex}"


def is_fresh(claimed_at: datetime | None, now: datetime) -> bool:
    """Return whether a claim still holds at this time of the database's clock."""
    return claimed_at is not None and now - claimed_at < timedelta(seconds=LEASE_SECONDS)


@asynccontextmanager
async def kept_alive(
    renew: Callable[[], Awaitable[object]], *, seconds: float = RENEWAL_SECONDS
) -> AsyncIterator[None]:
    """Renew a claim every so many seconds, until the block ends."""
    ended = asyncio.Event()
    renewing = asyncio.create_task(_renew(renew, seconds, ended), name="claim")
    try:
        yield
    finally:
        ended.set()
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)


async def _renew(
    renew: Callable[[], Awaitable[object]], seconds: float, ended: asyncio.Event
) -> None:
    # Not for ever: a driver may answer the cancellation with an error of its own.
    while not ended.is_set():
        await asyncio.sleep(seconds)
        # If the database stays away, the lease ends, and whoever comes next may take over.
        with suppress(SQLAlchemyError, OSError):
            await renew()
