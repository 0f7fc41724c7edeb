"""What the broker has taken, and what lies where: the yardstick for what must come out."""

from array import array
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

UNKNOWN = -1
"""At an offset whose acknowledgement died with the run that waited for it."""
UNACKNOWLEDGED = 1_000_000
"""More than an earlier run can have had on the way when it ended."""
KEYS = 16


class Numbered(NamedTuple):
    """One event by the number in its payload; it may have been sent more than once."""

    topic: str
    number: int

    @property
    def key(self) -> int:
        """Which of the keys it is sent with, always the same."""
        return self.number % KEYS


class Book:
    """The numbers of all messages by partition and offset, also in a file that survives us."""

    def __init__(self, path: Path) -> None:
        self.numbers: defaultdict[tuple[str, int], array[int]] = defaultdict(lambda: array("q"))
        self.events = set[Numbered]()
        """All events; those that were sent twice are one."""
        if path.exists():
            for line in path.read_text().split("\n")[:-1]:
                topic, partition, offset, number = line.split(" ")
                self._put(topic, int(partition), int(offset), int(number))
        self._path = path
        self._new: list[str] = []

    def add(self, topic: str, partition: int, offset: int, number: int) -> None:
        """Remember a message that the broker has acknowledged."""
        self._put(topic, partition, offset, number)
        self._new.append(f"{topic} {partition} {offset} {number}\n")

    def save(self) -> None:
        """Write into the file what is new."""
        with self._path.open("a") as file:
            file.writelines(self._new)
        self._new.clear()

    def at(self, topic: str, partition: int, offset: int) -> Numbered:
        """Return which event lies at an offset, as far as the broker has told us yet."""
        numbers = self.numbers[topic, partition]
        return Numbered(topic, numbers[offset] if offset < len(numbers) else UNKNOWN)

    def next_number(self) -> int:
        """Return a number that no event has yet, nor one that was sent and not acknowledged."""
        return UNACKNOWLEDGED + max((event.number for event in self.events), default=0)

    def between(self, tp: tuple[str, int], first: int, last: int) -> Iterator[tuple[int, Numbered]]:
        """Return the events at the known offsets from `first` to before `last`."""
        numbers = self.numbers[tp]
        for offset in range(first, min(last, len(numbers))):
            if numbers[offset] != UNKNOWN:
                yield offset, Numbered(tp[0], numbers[offset])

    def _put(self, topic: str, partition: int, offset: int, number: int) -> None:
        numbers = self.numbers[topic, partition]
        while len(numbers) <= offset:
            numbers.append(UNKNOWN)
        numbers[offset] = number
        self.events.add(Numbered(topic, number))
