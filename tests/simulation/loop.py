"""An event loop in virtual time for several processes, each of which may freeze or die."""

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from itertools import count
from typing import Any, TypeVarTuple
from unittest.mock import patch

Ts = TypeVarTuple("Ts")


class Process:
    """A share of the loop: what it is to do is held back while it is frozen, or dead."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.frozen = False
        self.dead = False


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
"""Whose code is running; tasks and callbacks inherit it. None: nobody's that may fail."""


class Loop(asyncio.AbstractEventLoop):
    """Never waits: when there is nothing to do, the time of the next timer has come."""

    def __init__(self) -> None:
        self._now = 0.0
        self._numbers = count()
        self._ready: deque[tuple[Process | None, asyncio.Handle]] = deque()
        self._timers: list[tuple[float, int, Process | None, asyncio.TimerHandle]] = []
        self._held: list[tuple[Process, asyncio.Handle]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_ending = False

    def step(self) -> None:
        """Run what is next."""
        if not self._ready:
            when, _, process, timer = heapq.heappop(self._timers)
            self._now = max(self._now, when)
            self._ready.append((process, timer))
        process, handle = self._ready.popleft()
        if process is not None and (process.frozen or process.dead) and not self._is_ending:
            self._held.append((process, handle))
        elif not handle.cancelled():
            handle._run()  # noqa: SLF001 - this is what a loop does with it

    def thaw(self, process: Process) -> None:
        """Let a process go on where it was frozen; the time in between has passed for it too."""
        process.frozen = False
        self._ready.extend(each for each in self._held if each[0] is process)
        self._held = [each for each in self._held if each[0] is not process]

    def clear_away(self) -> None:
        """End all tasks, those of the dead as well."""
        self._is_ending = True
        self._ready.extend(self._held)
        while self._tasks:
            for task in list(self._tasks):
                task.cancel()
            self.step()
            while self._ready:
                self.step()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Be the loop of this thread, and its clock."""
        asyncio._set_running_loop(self)  # noqa: SLF001 - for loops
        try:
            with (
                patch.object(time, "monotonic", self.time),
                patch.object(time, "perf_counter", self.time),
            ):
                yield
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001 - for loops

    def time(self) -> float:
        """Return the seconds since the simulation began."""
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Do what `asyncio` says."""
        context = copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append((context.get(PROCESS), handle))
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Do what `asyncio` says."""
        context = copy_context() if context is None else context
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), context.get(PROCESS), timer))
        return timer

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Do what `asyncio` says."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """Do what `asyncio` says."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """Do what `asyncio` says."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, **options)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def get_debug(self) -> bool:
        """Do what `asyncio` says."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Do nothing: whoever matters has looked at the error, or is missed."""

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave it where it is: it does nothing when its time comes."""
