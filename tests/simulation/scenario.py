"""What is in the topic, how the service is built, and what goes wrong."""

from dataclasses import dataclass
from itertools import count
from typing import Literal, TypeAlias

from tests.simulation.service import Kind, Place, value

Sent: TypeAlias = Kind | Literal["twin"]
"""A twin has the payload of the scenario's first event."""

KEYS = (None, b"a", b"b", b"a")
"""Of the events of each partition, in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is in the topic, how the service is built, and what goes wrong."""

    partitions: tuple[tuple[Sent, ...], ...]
    transactional: bool = False
    by_key: bool = False
    """Whether only events of one key wait for each other."""
    max_retries: int = 2
    exclusive: bool = False
    """Whether transactions exclude each other, as in SQLite."""
    choices: bytes = b""
    """The schedule."""

    def values(self) -> list[list[bytes | None]]:
        """Return the payloads in each partition."""
        numbers = count()
        first: bytes | None = value(self._first, next(numbers))
        return [
            [
                first if kind == "twin" or (n, at) == (0, 0) else value(kind, next(numbers))
                for at, kind in enumerate(kinds)
            ]
            for n, kinds in enumerate(self.partitions)
        ]

    def kinds(self) -> dict[Place, Kind]:
        """Return what each event asks of its handler."""
        return {
            (partition, offset): self._first if kind == "twin" else kind
            for partition, kinds in enumerate(self.partitions)
            for offset, kind in enumerate(kinds)
        }

    @property
    def _first(self) -> Kind:
        first = self.partitions[0][0]
        assert first != "twin"
        return first
