"""Tasks that work for another one and end with it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Self


class Crew:
    """None of its tasks outlives the block, and one that breaks ends the block with its error.

    Other than for `asyncio.TaskGroup`, a task that is cancelled by anybody else is one that breaks:
    in silence, what it was to do would never be done.
    """

    def __init__(self, on_end: Callable[[], object]) -> None:
        self.is_over = False
        self._on_end = on_end
        self._jobs: dict[asyncio.Task[None], str] = {}
        self._counts: Counter[str] = Counter()
        self._owner: asyncio.Task[Any] | None = None
        self._error: BaseException | None = None

    def count(self, job: str) -> int:
        """Return how many tasks are at a job."""
        return self._counts[job]

    def start(self, job: str, work: Coroutine[Any, Any, None]) -> None:
        """Start a task; `on_end` is called when it has ended."""
        task = asyncio.create_task(work, name=job)
        self._jobs[task] = job
        self._counts[job] += 1
        task.add_done_callback(self._ended)

    async def __aenter__(self) -> Self:
        self._owner = asyncio.current_task()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_over = True
        for task in self._jobs:
            task.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        if self._error is not None:
            raise self._error

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._counts[self._jobs.pop(task)] -= 1
        error = None if task.cancelled() else task.exception()
        is_broken = task.cancelled() or error is not None
        if is_broken and self._owner and not self.is_over:
            self._owner.cancel()
            # The loop has ended with these, and must not a second time: it is run to end the rest.
            if not isinstance(error, SystemExit | KeyboardInterrupt):
                self._error = self._error or error
        self._on_end()
