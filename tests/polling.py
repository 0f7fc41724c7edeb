"""Waiting for a condition without guessing how long it takes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

_T = TypeVar("_T")


def eventually(
    assertion: Callable[[], _T],
    *,
    timeout: float = 10.0,
    interval: float = 0.02,
) -> _T:
    """Return what the assertion returns once it passes; after `timeout` seconds let it fail."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return assertion()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(interval)


async def eventually_async(
    assertion: Callable[[], Awaitable[_T]],
    *,
    timeout: float = 10.0,  # noqa: ASYNC109 - asyncio.timeout would hide which assertion failed
    interval: float = 0.02,
) -> _T:
    """Do what `eventually` does for a coroutine function, and let the event loop go on."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return await assertion()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(interval)
