"""What to do while the database is away: wait, say so, and go on where we were."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from app.checkpoint.notifications import log
from app.checkpoint.retry import Backoff

T = TypeVar("T")

REMINDER = 30.0
"""Seconds between two log lines of one outage."""


class Outages:
    """Repeats database work without end while the database cannot do it.

    Nothing that the database refuses to write may be acknowledged, whatever the reason: an operator
    mends the database or the schema, and the worker goes on where it was.
    """

    def __init__(self, backoff: Backoff | None = None) -> None:
        self.since: float | None = None
        """Monotonic time at which the outage that goes on now began; None: there is none."""
        self._backoff = backoff or Backoff(min=0.05, max=2.0, jitter=0.5)
        self._said = 0.0

    async def ride_out(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return what `work` returns, as soon as the database lets it."""
        attempt = 0
        while True:
            try:
                result = await work()
            except (SQLAlchemyError, OSError) as error:
                attempt += 1
                self._goes_on(error)
                await asyncio.sleep(self._backoff.delay(attempt))
            else:
                self._is_over()
                return result

    def _goes_on(self, error: Exception) -> None:
        now = time.monotonic()
        if self.since is None:
            self.since = now
        elif now - self._said < REMINDER:
            return
        self._said = now
        cause = getattr(error, "orig", None) or error
        log(
            logging.WARNING,
            "checkpoint.database_unavailable",
            error=f"{type(cause).__name__}: {cause}".splitlines()[0],
            since_seconds=round(now - self.since, 1),
        )

    def _is_over(self) -> None:
        if self.since is not None:
            lasted = round(time.monotonic() - self.since, 1)
            self.since = None
            log(logging.INFO, "checkpoint.database_available", after_seconds=lasted)
