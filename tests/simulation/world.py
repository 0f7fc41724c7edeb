"""Where processes make requests of other machines, and what strikes them there."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextvars import Context
from typing import TypeVar

from tests.simulation.loop import PROCESS, Loop, Process
from tests.simulation.schedule import SECONDS, Schedule, Strike, Trouble

T = TypeVar("T")

EVERYWHERE = Context()
"""Of callbacks that are of no process."""


class TroubleError(OSError):
    """A request failed, or seems to have."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble)
        self.trouble = trouble


class World:
    """One simulation: its time, its schedule, and what has happened so far."""

    def __init__(self, choices: bytes) -> None:
        self.loop = Loop()  # type: ignore[abstract]  # nobody calls what it lacks
        self.schedule = Schedule(choices)
        self.is_over = False
        self.in_flight: Callable[[], bool] = bool
        """Returns whether an event is on its way."""
        self.injected: Counter[str] = Counter()
        self.hit: Counter[str] = Counter()
        """How many of them found an event in flight."""
        self.trace: list[str] = []

    async def request(self, name: str, carry_out: Callable[[], T], *, is_safe: bool = False) -> T:
        """Have another machine carry something out, as the schedule wants it.

        If it is safe, nothing happens to the request, only to the process that makes it.

        Raises:
            TroubleError: it was not carried out, or its reply was lost.
        """
        if self.is_over:
            raise asyncio.CancelledError
        fate = self.schedule.fate()
        await asyncio.sleep(fate.before)
        if fate.strike and not fate.carried_out:
            await self._struck(name, fate.strike)
        trouble = None if is_safe else fate.trouble
        if trouble is not None:
            self.note(trouble, name)
        if trouble is not None and trouble != "reply lost":
            raise TroubleError(trouble)
        result = carry_out()
        self.tell(name)
        if fate.strike and fate.carried_out:
            await self._struck(name, fate.strike)
        await asyncio.sleep(fate.after)
        if trouble is not None:
            raise TroubleError(trouble)
        return result

    def strike(self, process: Process, strike: Strike) -> None:
        """Let a process die, or freeze for a while."""
        if strike == "dies":
            process.dead = True
        elif not process.frozen:
            process.frozen = True
            self.loop.call_later(SECONDS[strike], self._thaw, process, context=EVERYWHERE)

    def note(self, fault: str, where: str) -> None:
        """Count a fault."""
        self.injected[fault] += 1
        self.hit[fault] += self.in_flight()
        self.tell(f"{where}: {fault}")

    def tell(self, what: str) -> None:
        """Append a line to the trace."""
        process = PROCESS.get()
        self.trace.append(f"{self.loop.time():.3f} {process.name if process else '-'} {what}")

    async def _struck(self, name: str, strike: Strike) -> None:
        process = PROCESS.get()
        if process is not None:
            self.note(strike, name)
            self.strike(process, strike)
        await asyncio.sleep(0)  # From which a dead one does not come back.

    def _thaw(self, process: Process) -> None:
        if not process.dead:
            self.loop.thaw(process)
