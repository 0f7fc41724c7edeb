"""What the process of one case is told, and what it reports."""

import json
import os
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

_VARIABLE = "BENCHMARK_TASK"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One run of one case."""

    broker_url: str
    database_url: str
    topic: str
    group: str
    """New to each run, so that it starts at the topic's beginning."""
    events: int
    report: str
    """Path of the file that is there as soon as the last event was delivered."""
    work: str = ""
    """What the handler does, if the case leaves it open."""

    def environment(self) -> dict[str, str]:
        """Return the variables that hand the task to a process."""
        return {_VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls) -> Self:
        """Return the task of this process."""
        return cls(**json.loads(os.environ[_VARIABLE]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the process of a case has seen of its run."""

    first: float
    """Monotonic time, the same in all processes, at which the first event was delivered."""
    last: float
    """The same of the last event."""
    rss_mb: float
    """Most memory the process has had, in MiB."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the report of a process."""
        return cls(**json.loads(path.read_text()))

    def write(self, path: Path) -> None:
        """Put the whole report into its place at once: somebody waits for the file."""
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(path)


class Stopwatch:
    """Counts the events that are delivered to the code of a case, and reports after the last."""

    def __init__(self, task: Task) -> None:
        self._report = Path(task.report)
        self._left = task.events
        self._first: float | None = None

    def event(self) -> None:
        """Count one event, before anything is done with it."""
        self.start()
        self.count(1)

    def count(self, events: int) -> None:
        """Count events, and report after the last."""
        self._left -= events
        if not self._left:
            self.stop()

    def start(self) -> None:
        """Note the time, the first time."""
        if self._first is None:
            self._first = time.monotonic()

    def stop(self) -> None:
        """Note the time and report."""
        last = time.monotonic()
        assert self._first is not None
        Report(first=self._first, last=last, rss_mb=_peak_memory()).write(self._report)


def _peak_memory() -> float:
    try:
        # Not getrusage on Linux: there, a process starts with the peak of the one that started it.
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    [peak] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak.split()[1]) / 2**10
