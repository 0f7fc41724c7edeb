"""Polling ends with the first success, or with the assertion's own failure."""

import pytest

from tests.polling import eventually, eventually_async


class Attempts:
    """An assertion that passes at its third attempt."""

    def __init__(self) -> None:
        self.made = 0

    def check(self) -> int:
        """Fail twice, then pass."""
        self.made += 1
        assert self.made == 3, "too early"
        return self.made

    async def check_async(self) -> int:
        """Fail twice, then pass, as a coroutine."""
        return self.check()


def test_eventually_returns_the_first_success() -> None:
    """It tries until the assertion passes."""
    assert eventually(Attempts().check, interval=0) == 3


def test_eventually_ends_with_the_failed_assertion() -> None:
    """It tries at least once, and then says which assertion failed."""
    with pytest.raises(AssertionError, match="too early"):
        eventually(Attempts().check, timeout=0)


def test_eventually_lets_other_errors_out() -> None:
    """A broken test fails at once."""
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 / 0)


async def test_eventually_async_returns_the_first_success() -> None:
    """It tries until the assertion passes."""
    assert await eventually_async(Attempts().check_async, interval=0) == 3


async def test_eventually_async_ends_with_the_failed_assertion() -> None:
    """It tries at least once, and then says which assertion failed."""
    with pytest.raises(AssertionError, match="too early"):
        await eventually_async(Attempts().check_async, timeout=0)
