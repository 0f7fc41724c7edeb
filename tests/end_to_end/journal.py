"""What handlers did, kept outside every transaction: nothing rolls it back, no kill takes it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, cast

from app.checkpoint import Metadata

Step: TypeAlias = Literal["started", "finished"]


class Place(NamedTuple):
    """Where a message lies."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One step of one run of a handler."""

    pid: int
    step: Step
    attempt: int
    place: Place


class Journal:
    """A file that all workers append to; its order is the order in time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def add(self, step: Step, metadata: Metadata) -> None:
        """Append a line in one write, which no other process can interleave with its own."""
        if self._file is None:
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        place = f"{metadata.topic} {metadata.partition} {metadata.offset}"
        os.write(self._file, f"{os.getpid()} {step} {metadata.attempt} {place}\n".encode())

    def read(self, since: int = 0) -> list[Entry]:
        """Return all complete lines but the first `since`."""
        if not self.path.exists():
            return []
        lines = self.path.read_text().split("\n")[since:-1]
        return [_entry(line) for line in lines]


def _entry(line: str) -> Entry:
    pid, step, attempt, topic, partition, offset = line.split(" ")
    return Entry(
        pid=int(pid),
        step=cast("Step", step),
        attempt=int(attempt),
        place=Place(topic, int(partition), int(offset)),
    )
