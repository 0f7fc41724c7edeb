"""What handlers do for a millisecond: wait for somebody, or compute."""

import asyncio
import time
from collections.abc import Awaitable, Callable

SECONDS = 0.001


async def wait() -> None:
    """Wait for a millisecond, or a little more: the event loop's clock is coarse."""
    await asyncio.sleep(SECONDS)


async def compute() -> None:
    """Use a millisecond of the processor's time, whatever else runs on it."""
    end = time.thread_time() + SECONDS
    while time.thread_time() < end:
        pass


WORK: dict[str, Callable[[], Awaitable[None]]] = {"wait": wait, "compute": compute}
