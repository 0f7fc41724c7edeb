"""How often somebody may be wrong."""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable

LIMIT = 10
SECONDS = 60.0
MAX_ADDRESSES = 1_000
"""Addresses that are remembered, the latest ones."""


class Throttle:
    """Lets each address be wrong ten times a minute."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def failed(self, address: str) -> int:
        """Note that an address was wrong; return for how many seconds it is too often, mostly 0."""
        now = self._clock()
        times = self._failures.setdefault(address, deque(maxlen=LIMIT))
        self._failures.move_to_end(address)
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)
        if len(times) == LIMIT and now - times[0] < SECONDS:
            return math.ceil(times[0] + SECONDS - now)
        times.append(now)
        return 0
