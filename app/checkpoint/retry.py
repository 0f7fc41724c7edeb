"""When a failed attempt is tried again, and after how long."""

import random
import sys
from dataclasses import dataclass

from app.checkpoint.errors import ConfigurationError

LARGEST = sys.float_info.max
"""What is beyond is no time: an integer of 400 digits is below infinity and still no float."""


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
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                _refuse(f"{name}={value!r}", "write a number")
        if not 0 <= self.min <= self.max <= LARGEST:
            _refuse(f"min={self.min}, max={self.max}", "write 0 <= min <= max, in seconds")
        if not 1 <= self.multiplier <= LARGEST:
            _refuse(f"multiplier={self.multiplier}", "write 1 or more")
        if not 0 <= self.jitter <= 1:
            _refuse(f"jitter={self.jitter}", "write a share between 0 and 1")

    def delay(self, attempt: int, chance: float | None = None) -> float:
        """Return the seconds to wait after attempt 1, 2, …; `chance` replaces the dice."""
        if chance is None:
            chance = random.random()  # noqa: S311 - spreads load, guards nothing
        try:
            delay = self.min * float(self.multiplier) ** (attempt - 1)
        except OverflowError:
            delay = self.max if self.min else 0.0
        spread = 1 + self.jitter * (2 * chance - 1)
        return max(self.min, min(self.max, min(delay, self.max) * spread))


def _refuse(values: str, instead: str) -> None:
    msg = f"Backoff({values}) cannot work: {instead}"
    raise ConfigurationError(msg)
