"""A time limit that costs nothing for a coroutine that never waits."""

import asyncio
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
    try:
        waits_for = coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    async with asyncio.timeout(seconds):
        return await _rest(coroutine, waits_for)


@generator_coroutine
def _rest(coroutine: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Go on with a coroutine that has already asked the event loop to wait for something."""
    while True:
        try:
            try:
                answer = yield waits_for
            except BaseException as error:  # noqa: BLE001 - a cancellation is the coroutine's to see
                waits_for = coroutine.throw(error)
            else:
                waits_for = coroutine.send(answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
