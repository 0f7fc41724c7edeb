"""`within` does what `asyncio.timeout` does, whatever the coroutine waits for."""

import asyncio
import contextvars
import selectors
import sys
import time
import traceback
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.checkpoint.timeouts import within

HOUR = 3600.0
SHORT = 0.001

visited = contextvars.ContextVar("visited", default=0)


async def plain(seconds: float | None, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Do what `within` is to do, at asyncio's price."""
    async with asyncio.timeout(seconds):
        return await coroutine


class Play:
    """Acts out a script of steps and writes down what it sees."""

    def __init__(self, seen: list[object]) -> None:
        self.seen = seen
        self.never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, steps: Iterable[str]) -> str:
        """Act out the script."""
        try:
            for step in steps:
                # What a coroutine can see of whoever awaits it must not differ either.
                self.seen += [step, sys.exc_info()[1]]
                visited.set(visited.get() + 1)
                await getattr(self, f"_{step}")()
        except BaseException as error:
            self.seen.append(self._kind(error))
            raise
        else:
            return "done"
        finally:
            self.seen.append("left")

    def _kind(self, error: BaseException) -> str:
        context = error.__context__
        return f"{type(error).__name__} while handling {type(context).__name__}"

    async def _pass(self) -> None:
        await asyncio.sleep(0)

    async def _future(self) -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, "answer")
        self.seen.append(await future)

    async def _failing_future(self) -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, LookupError("gone"))
        try:
            await future
        except LookupError as error:
            self.seen.append(self._kind(error))

    async def _done_future(self) -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        future.set_result("before")
        self.seen.append(await future)

    async def _timer(self) -> None:
        await asyncio.sleep(60)

    async def _never(self) -> None:
        await self.never

    async def _swallow(self) -> None:
        with suppress(asyncio.CancelledError):
            await self.never
        self.never = asyncio.get_running_loop().create_future()

    async def _translate(self) -> None:
        try:
            await self.never
        except asyncio.CancelledError:
            raise ConnectionError from None

    async def _inner_timeout(self) -> None:
        try:
            async with asyncio.timeout(0):
                await self.never
        except TimeoutError:
            self.seen.append("inner timeout")
        self.never = asyncio.get_running_loop().create_future()

    async def _long_inner_timeout(self) -> None:
        async with asyncio.timeout(HOUR):
            await self._pass()

    async def _group(self) -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._current())
        self.seen.append(task.done())

    async def _failing_group(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._raise())
                await self.never
        except* ValueError:
            self.seen.append("group failed")
        self.never = asyncio.get_running_loop().create_future()

    async def _own_task_cancelled(self) -> None:
        task = asyncio.create_task(asyncio.sleep(HOUR))
        task.cancel()
        await task

    async def _cancel_self(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async def _generator(self) -> None:
        async def numbers() -> AsyncIterator[int]:
            for number in range(3):
                yield number
                await asyncio.sleep(0)

        self.seen.append([number async for number in numbers()])

    async def _current(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.seen.append((task.get_name() == "play", task.cancelling()))

    async def _foreign(self) -> None:
        class Foreign:
            def __await__(self) -> Any:
                return (yield "no future")

        await Foreign()

    async def _raise(self) -> None:
        raise ValueError

    async def _raise_timeout(self) -> None:
        raise TimeoutError

    async def _stop(self) -> None:
        raise StopIteration

    async def _close(self) -> None:
        raise GeneratorExit


STEPS = sorted(name[1:] for name in vars(Play) if name.startswith("_") and name[1] != "_")
STEPS.remove("kind")
WAITING = {"never", "swallow", "translate"}


class InstantLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer: an hour passes at once, and always last."""

    def __init__(self) -> None:
        super().__init__(_InstantSelector(self))
        self.now = 0.0

    def time(self) -> float:
        """Return the time that has been waited."""
        return self.now


class _InstantSelector(selectors.DefaultSelector):
    def __init__(self, loop: InstantLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing would ever happen again"
        self._loop.now += timeout
        return super().select(0)


def observed(limit: Any, steps: Iterable[str], *, seconds: float | None, cancel: int | None) -> Any:
    """Return all that can be seen of a script under this kind of limit."""
    seen: list[object] = []

    async def main() -> None:
        play = Play(seen)

        async def act() -> Any:
            try:
                return await limit(seconds, play.run(steps))
            finally:
                seen.append(visited.get())

        task = asyncio.create_task(act(), name="play")
        for _ in range(cancel or 0):
            await asyncio.sleep(0)
        if cancel is not None:
            seen.append(task.cancel())
        await asyncio.wait([task])
        seen.extend([task.cancelled(), task.cancelling()])
        error = None if task.cancelled() else task.exception()
        seen.append(type(error) if error or task.cancelled() else task.result())

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(main())
    return [repr(thing) for thing in seen]


@given(
    steps=st.lists(st.sampled_from(STEPS), max_size=6),
    cancel=st.none() | st.integers(0, 5),
    seconds=st.sampled_from([None, HOUR]),
)
@settings(deadline=None, max_examples=500)
def test_a_limit_changes_nothing_but_the_price(
    steps: list[str], cancel: int | None, seconds: float | None
) -> None:
    """Returning, raising and waiting, cancelled from outside before or after any step, or not."""
    if not WAITING.isdisjoint(steps):
        seconds = HOUR
    if len([step for step in steps if step in WAITING]) > 1:
        # The time is over once, and so is a cancellation: nothing would end the second wait.
        steps = [step for step in steps if step not in WAITING] + ["never"]
    expected = observed(plain, steps, seconds=seconds, cancel=cancel)
    assert observed(within, steps, seconds=seconds, cancel=cancel) == expected


@pytest.mark.parametrize("seconds", [HOUR, None])
async def test_an_error_does_not_seem_to_come_from_one_that_was_dealt_with(
    seconds: float | None,
) -> None:
    """Else the backtrace of a failure would tell of a cause that is none."""

    async def recovers() -> None:
        with suppress(LookupError):
            await fails()
        raise ZeroDivisionError

    async def fails() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, LookupError("gone"))
        await future

    with pytest.raises(ZeroDivisionError) as caught:
        await within(seconds, recovers())
    assert caught.value.__context__ is None


async def test_a_timeout_says_how_long_it_was_and_where_the_time_went() -> None:
    """An operator reads it in the failure."""

    async def ship() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(TimeoutError, match=r"^not done within 0\.001 seconds$") as caught:
        await within(SHORT, ship())
    frames = traceback.extract_tb(getattr(caught.value.__cause__, "__traceback__", None))
    assert "ship" in [frame.name for frame in frames]


@pytest.mark.parametrize("text", ["", "no answer"])
async def test_a_timeout_of_the_coroutines_own_stays_what_it_is(text: str) -> None:
    """It says nothing of our limit."""

    async def connect() -> None:
        await asyncio.sleep(0)
        raise TimeoutError(*([text] if text else []))

    with pytest.raises(TimeoutError, match=f"^{text}$"):
        await within(HOUR, connect())


async def test_the_time_before_the_first_wait_counts() -> None:
    """A coroutine that has computed for too long is ended when it waits."""
    seconds = 0.05

    async def computes() -> None:
        late = time.monotonic() + seconds
        while time.monotonic() <= late:
            pass
        for _ in range(3):
            await asyncio.sleep(0)

    with pytest.raises(TimeoutError):
        await within(seconds, computes())
