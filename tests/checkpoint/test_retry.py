"""A handler is tried as often as promised, after a delay within its bounds."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.checkpoint import Ack, Backoff, Checkpoint, ConfigurationError, Metadata, ack
from app.checkpoint.testing import database, process

checkpoint = Checkpoint("sqlite:///:memory:")

SECONDS = st.floats(0, allow_infinity=False) | st.integers(0, 10**9)
BACKOFFS = st.builds(
    lambda bounds, multiplier, jitter: Backoff(
        min=min(bounds), max=max(bounds), multiplier=multiplier, jitter=jitter
    ),
    st.tuples(SECONDS, SECONDS),
    st.floats(1, allow_infinity=False) | st.integers(1, 10),
    st.floats(0, 1),
)


@given(
    backoff=BACKOFFS,
    attempt=st.integers(1, 3000) | st.integers(1, 2**70),
    chance=st.none() | st.floats(0, 1),
)
def test_a_delay_is_never_below_the_least_or_above_the_most(
    backoff: Backoff, attempt: int, chance: float | None
) -> None:
    """Whatever the dice say, and however long it goes on."""
    assert backoff.min <= backoff.delay(attempt, chance) <= backoff.max


@given(backoff=BACKOFFS, attempt=st.integers(1, 3000))
def test_without_jitter_delays_grow(backoff: Backoff, attempt: int) -> None:
    """Until they reach the most; a delay of 0 stays 0."""
    steady = Backoff(min=backoff.min, max=backoff.max, multiplier=backoff.multiplier, jitter=0)
    assert steady.delay(attempt) <= steady.delay(attempt + 1)
    assert steady.min or steady.delay(attempt) == 0


def test_delays_double_by_default() -> None:
    """From a second up to a minute."""
    delays = [Backoff(jitter=0).delay(attempt) for attempt in range(1, 9)]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]


def test_jitter_is_a_share_of_the_delay_either_way() -> None:
    """So that a thousand events do not come back in one second."""
    backoff = Backoff(min=1, max=100, multiplier=10, jitter=0.5)
    assert [backoff.delay(2, chance) for chance in (0, 0.5, 1)] == [5, 10, 15]


@pytest.mark.parametrize(
    "values",
    [
        {"min": -1},
        {"min": 2, "max": 1},
        {"min": float("nan")},
        {"max": float("nan")},
        {"max": float("inf")},
        {"max": 10**400},
        {"min": "1"},
        {"max": None},
        {"min": True},
        {"multiplier": 0.5},
        {"multiplier": float("inf")},
        {"jitter": -0.1},
        {"jitter": 1.1},
        {"jitter": float("nan")},
    ],
    ids=repr,
)
def test_a_backoff_that_makes_no_delay_is_refused(values: dict[str, Any]) -> None:
    """The sentence names the value."""
    name = list(values)[-1]
    with pytest.raises(ConfigurationError, match=rf"^Backoff\(.*{name}=.*\) cannot work: write"):
        Backoff(**values)


class Agent:
    """An agent that fails until an attempt, and remembers its attempts."""

    def __init__(self, fails: float, **options: Any) -> None:
        self.attempts: list[int] = []
        self.handler = checkpoint(**options)(self._handle)
        self._fails = fails

    async def _handle(self, _: Any, metadata: Metadata) -> Ack:
        self.attempts.append(metadata.attempt)
        if metadata.attempt <= self._fails:
            raise LookupError(metadata.attempt)
        return ack("order", 0)


@given(retries=st.integers(0, 6) | st.none(), fails=st.integers(0, 8))
@settings(deadline=None, max_examples=40)
async def test_a_handler_is_attempted_as_often_as_promised(retries: int | None, fails: int) -> None:
    """`max_retries` after the first attempt; None: until it succeeds."""
    agent = Agent(fails, max_retries=retries)
    result = await process(agent.handler, b"{}")
    if retries is None or fails <= retries:
        assert result.outcome == "acknowledged"
        assert agent.attempts == list(range(1, fails + 2))
    else:
        assert (result.outcome, result.attempts) == ("failed", retries + 1)
        assert agent.attempts == list(range(1, retries + 2))
        assert str(result.error) == str(retries + 1)


async def test_five_retries_are_the_default() -> None:
    """And can be set for all agents at once."""
    agent = Agent(float("inf"))
    assert (await process(agent.handler, b"{}")).attempts == 6
    service = Checkpoint("sqlite:///:memory:", max_retries=1)
    assert (await process(service()(agent.handler.function), b"{}")).attempts == 2
    assert (await process(service(max_retries=0)(agent.handler.function), b"{}")).attempts == 1


async def test_an_attempt_that_may_not_be_retried_is_the_last() -> None:
    """`retry_if` is asked with the error and what is known of the event."""
    asked: list[tuple[str, int]] = []

    def retry_if(error: Exception, metadata: Metadata) -> bool:
        asked.append((str(error), metadata.attempt))
        return metadata.attempt < 2

    result = await process(Agent(9, retry_if=retry_if, max_retries=None).handler, b"{}")
    assert (result.outcome, result.attempts) == ("failed", 2)
    assert asked == [("1", 1), ("2", 2)]


async def test_nobody_is_asked_about_an_attempt_that_is_the_last_anyway() -> None:
    """`retry_if` cannot grant more than `max_retries`."""

    def retry_if(error: Exception, _: Metadata) -> bool:
        asked.append(str(error))
        return True

    asked: list[str] = []
    result = await process(Agent(9, retry_if=retry_if, max_retries=1).handler, b"{}")
    assert (result.attempts, asked) == (2, ["1"])


@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
async def test_a_retry_if_that_raises_does_no_harm(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """The attempt is retried, and the log says so once, not for each event."""

    def retry_if(_: Exception, __: Metadata) -> bool:
        raise error

    result = await process(Agent(9, retry_if=retry_if, max_retries=9).handler, b"{}")
    assert result.outcome == "acknowledged"
    told = [entry.message for entry in caplog.records].count("checkpoint.retry_if_raised")
    assert 1 <= told < 9


async def test_an_attempt_that_takes_too_long_is_retried_and_then_a_failure() -> None:
    """A handler that hangs holds its partition for a bounded time."""
    attempts: list[int] = []

    async def hangs(_: Any, metadata: Metadata) -> Ack:
        attempts.append(metadata.attempt)
        await asyncio.get_running_loop().create_future()
        return ack("order", 0)

    result = await process(checkpoint(timeout=0.001, max_retries=2)(hangs), b"{}")
    assert (result.outcome, result.attempts, attempts) == ("failed", 3, [1, 2, 3])
    assert isinstance(result.error, TimeoutError)


async def test_an_attempt_after_a_timeout_may_succeed() -> None:
    """Each attempt has the whole time."""

    async def slow_at_first(_: Any, metadata: Metadata) -> Ack:
        if metadata.attempt == 1:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(0)
        return ack("order", 0)

    async with database() as into:
        result = await process(checkpoint(timeout=0.05)(slow_at_first), b"{}", into=into)
    assert result.outcome == "acknowledged"
