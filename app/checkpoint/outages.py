"""What to do while the database is away: wait, say so, and go on where we were."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from app.checkpoint.database import in_one_line
from app.checkpoint.notifications import log
from app.checkpoint.retry import Backoff

T = TypeVar("T")

REMINDER = 30.0
"""Seconds between two log lines of one outage."""
PAUSE = 1.0
"""Seconds between the last line of one outage and the first of the next."""


class Outages:
    """Repeats database work without end while the database cannot do it.

    Nothing that the database refuses to write may be acknowledged, whatever the reason: an operator
    mends the database or the schema, and the worker goes on where it was.
    """

    def __init__(self, backoff: Backoff | None = None) -> None:
        self.since: float | None = None
        """Monotonic time at which the outage that goes on now began; None: there is none."""
        self._backoff = backoff or Backoff(min=0.05, max=2.0, jitter=0.5)
        self._waiting = 0
        self._said = float("-inf")
        self._announced = False

    async def ride_out(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return what `work` returns, as soon as the database lets it."""
        attempt = 0
        try:
            while True:
                try:
                    result = await work()
                    break
                except (SQLAlchemyError, OSError) as error:
                    attempt += 1
                    self._waiting += attempt == 1
                    self._goes_on(error)
                    await asyncio.sleep(self._backoff.delay(attempt))
        finally:
            self._waiting -= attempt > 0
        # What one lane can do says nothing for another that still waits.
        if not self._waiting:
            self._is_over()
        return result

    def _goes_on(self, error: Exception) -> None:
        now = time.monotonic()
        if self.since is None:
            self.since = now
        if now - self._said < (REMINDER if self._announced else PAUSE):
            return
        self._said, self._announced = now, True
        log(
            logging.WARNING,
            "checkpoint.database_unavailable",
            error=in_one_line(error),
            since_seconds=round(now - self.since, 1),
        )

    def _is_over(self) -> None:
        if self.since is None:
            return
        lasted = round(time.monotonic() - self.since, 1)
        self.since = None
        if self._announced:
            self._announced = False
            log(logging.INFO, "checkpoint.database_available", after_seconds=lasted)
