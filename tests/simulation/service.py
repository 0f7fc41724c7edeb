"""The service under simulation: one agent, whose handler does what each event asks for."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import Ack, Backoff, Checkpoint, Metadata, ack
from app.checkpoint.decorator import Checkpointed, OptionArguments
from tests.simulation.loop import PROCESS
from tests.simulation.world import World

Kind: TypeAlias = Literal[
    "good",
    "slow",
    "skipped",
    "fails once",
    "fails twice",
    "hangs once",
    "poison",
    "ill",
    "null",
    "kills",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
TIMEOUT = 60.0
"""Longer than any process is frozen: only a handler that hangs runs into it."""
FAILURES: dict[Kind, int] = {"fails once": 1, "fails twice": 2, "hangs once": 1, "poison": 100}
"""How many attempts at an event fail before one succeeds."""

Place: TypeAlias = tuple[int, int]
"""Partition and offset."""


@dataclass(slots=True)
class Journal:
    """What handlers did, outside every transaction."""

    started: Counter[Place] = field(default_factory=Counter)
    finished: list[Place] = field(default_factory=list)
    skipped: set[Place] = field(default_factory=set)


class Service:
    """What is deployed to each process."""

    def __init__(
        self, world: World, *, transactional: bool, by_key: bool, max_retries: int
    ) -> None:
        self.journal = Journal()
        self.on_start: Callable[[Place], object] = bool
        """Told of each run of a handler before it begins."""
        self.transactional = transactional
        self.by_key = by_key
        self.max_retries = max_retries
        self.world = world
        """Where handlers call other services."""

    def decorated(self, checkpoint: Checkpoint) -> Checkpointed:
        """Return the agent's function as the service's own module has it."""
        options: OptionArguments = {
            "max_retries": self.max_retries,
            "timeout": TIMEOUT,
            "backoff": Backoff(min=1.0, max=60.0, multiplier=8.0, jitter=0.0),
            "transactional": self.transactional,
            "ordered_by": "key" if self.by_key else "partition",
        }
        return checkpoint(**options)(self._with_session if self.transactional else self._handle)

    def fails(self, kind: Kind) -> bool:
        """Return whether an event of this kind is to become a failure."""
        return kind in {"ill", "kills"} or FAILURES.get(kind, 0) > self.max_retries

    def runs(self, kind: Kind) -> int:
        """Return how often the handler of an event runs when nothing interrupts it."""
        return 0 if kind == "ill" else 1 + min(FAILURES.get(kind, 0), self.max_retries)

    async def _with_session(
        self, payload: Any, metadata: Metadata, session: AsyncSession
    ) -> Ack | None:
        effect = {"partition": metadata.partition, "at": metadata.offset}
        if payload is None or payload["kind"] != "skipped":
            await session.execute(text("INSERT INTO effects VALUES (:partition, :at)"), effect)
        return await self._handle(payload, metadata)

    async def _handle(self, payload: Any, metadata: Metadata) -> Ack | None:
        kind: Kind = "null" if payload is None else payload["kind"]
        place = metadata.partition, metadata.offset
        self.on_start(place)
        self.journal.started[place] += 1
        await self.world.request(f"handler {place}", bool, is_safe=True)
        await self._behave(kind, metadata.attempt)
        self.journal.finished.append(place)
        if kind == "skipped":
            self.journal.skipped.add(place)
            return None
        return ack(f"{place}", 0)

    async def _behave(self, kind: Kind, attempt: int) -> None:
        process = PROCESS.get()
        if kind == "kills" and process is not None:
            self.world.strike(process, "dies")
            await asyncio.sleep(0)
        if kind == "slow":
            await asyncio.sleep(1.0)
        if kind == "hangs once" and attempt == 1:
            await asyncio.sleep(2 * TIMEOUT)
        if attempt <= FAILURES.get(kind, 0):
            raise LookupError(kind)


def value(kind: Kind, number: int) -> bytes | None:
    """Return the payload of an event; equal numbers make twins."""
    if kind == "null":
        return None
    if kind == "ill":
        return b"{ill %d" % number
    return orjson.dumps({"kind": kind, "number": number})
