"""When a failed attempt is tried again, and after how long."""

import random
from dataclasses import dataclass

from app.checkpoint.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential delay between attempts, in seconds.

    The delay after attempt n is `min * multiplier ** (n - 1)`, up to `jitter` of it longer or
    shorter by chance, and never below `min` or above `max`.
    """

    min: float = 1.0
    max: float = 60.0
    multiplier: float = 2.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        """Refuse values that make no delay."""
        if not 0 <= self.min <= self.max < float("inf"):
            msg = f"Backoff(min={self.min}, max={self.max}): write 0 <= min <= max, in seconds"
            raise ConfigurationError(msg)
        if not 1 <= self.multiplier < float("inf"):
            msg = f"Backoff(multiplier={self.multiplier}): write 1 or more"
            raise ConfigurationError(msg)
        if not 0 <= self.jitter <= 1:
            msg = f"Backoff(jitter={self.jitter}): write a share between 0 and 1"
            raise ConfigurationError(msg)

    def delay(self, attempt: int, chance: float | None = None) -> float:
        """Return the seconds to wait after attempt 1, 2, …; `chance` replaces the dice."""
        if chance is None:
            chance = random.random()  # noqa: S311 - spreads load, guards nothing
        try:
            delay = self.min * self.multiplier ** (attempt - 1)
        except OverflowError:
            delay = self.max
        spread = 1 + self.jitter * (2 * chance - 1)
        return max(self.min, min(self.max, min(delay, self.max) * spread))
