"""A time limit that costs nothing for a coroutine that never waits."""

import asyncio
import time
from collections.abc import Coroutine, Generator
from types import coroutine as generator_coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def within(seconds: float | None, coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine for at most so many seconds, None for as long as it takes.

    `asyncio.timeout` makes and cancels a timer each time, a tenth of what an event costs. The first
    step runs without one: until the coroutine waits for something, no timer could interrupt it.

    Raises:
        TimeoutError: the time is over; the coroutine was cancelled.
    """
    started = time.monotonic()
    try:
        waits_for = coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    left = None if seconds is None else seconds - (time.monotonic() - started)
    try:
        async with asyncio.timeout(left) as limit:
            return await _rest(coroutine, waits_for)
    except TimeoutError as error:
        if limit.expired() and not error.args:
            error.args = (f"not done within {seconds} seconds",)
        raise


@generator_coroutine
def _rest(coroutine: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Go on with a coroutine that has already asked the event loop to wait for something."""
    while True:
        try:
            yield waits_for
        except BaseException as raised:  # noqa: BLE001 - a cancellation is the coroutine's to see
            error = raised
        else:
            return (yield from coroutine)  # type: ignore[no-any-return]
        # Not inside `except`: what the coroutine raises next would seem to come from `error`.
        try:
            waits_for = coroutine.throw(error)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        finally:
            del error
