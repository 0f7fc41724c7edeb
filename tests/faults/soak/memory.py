"""The memory of one worker over time."""

import os
import time
from collections import Counter
from pathlib import Path
from statistics import linear_regression

WARM_UP_SECONDS = 120.0


class Memory:
    """Follows the resident memory of the worker that lives longest."""

    def __init__(self) -> None:
        self._seen: dict[int, list[tuple[float, float]]] = {}

    def look(self, pid: int | None) -> None:
        """Note how much a process has now; one that is no more has none."""
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return
        megabytes = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        self._seen.setdefault(pid or 0, []).append((time.monotonic(), megabytes))

    def most(self) -> float:
        """Return the most that any of them had, in MB."""
        return max((size for seen in self._seen.values() for _, size in seen), default=0.0)

    def slope(self) -> tuple[float, float] | None:
        """Return the growth in MB per 10 minutes after the warm-up, and the minutes looked at.

        Of the worker that was looked at longest; None when it had no time to warm up.
        """
        counts = Counter({pid: len(seen) for pid, seen in self._seen.items()})
        for pid, _ in counts.most_common(1):
            start = self._seen[pid][0][0] + WARM_UP_SECONDS
            warm = [(at, size) for at, size in self._seen[pid] if at >= start]
            if len(warm) > 2:
                line = linear_regression(*zip(*warm, strict=True))
                return line.slope * 600, (warm[-1][0] - warm[0][0]) / 60
        return None
