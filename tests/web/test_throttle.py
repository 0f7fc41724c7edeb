"""Whoever is wrong too often has to wait, and nobody else has."""

from hypothesis import given
from hypothesis import strategies as st

from app.web.throttle import LIMIT, MAX_ADDRESSES, SECONDS, Throttle


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_the_first_ones_cost_nothing() -> None:
    """Who mistypes a token tries again at once."""
    throttle = Throttle(clock=Clock())
    assert [throttle.failed("10.0.0.1") for _ in range(LIMIT)] == [0] * LIMIT


def test_too_many_have_to_wait_until_the_first_is_a_minute_old() -> None:
    """The wait is told, in whole seconds, and it is enough."""
    clock = Clock()
    throttle = Throttle(clock=clock)
    for _ in range(LIMIT):
        throttle.failed("10.0.0.1")
    clock.now = 19.5
    assert throttle.failed("10.0.0.1") == 41
    clock.now += 41
    assert throttle.failed("10.0.0.1") == 0


def test_others_do_not_wait_with_them() -> None:
    """Each address has its own count."""
    throttle = Throttle(clock=Clock())
    for _ in range(LIMIT + 1):
        throttle.failed("10.0.0.1")
    assert throttle.failed("10.0.0.2") == 0


def test_a_flood_of_addresses_is_not_remembered() -> None:
    """Memory stays bounded, whoever comes from wherever; those that are at it are kept."""
    throttle = Throttle(clock=Clock())
    for _ in range(LIMIT):
        throttle.failed("busy")
    for number in range(3 * MAX_ADDRESSES):
        throttle.failed(f"flood-{number}")
        assert throttle.failed("busy") > 0
    assert throttle.failed("flood-0") == 0
    assert len(throttle) == MAX_ADDRESSES


@given(st.lists(st.floats(min_value=0, max_value=90), max_size=60))
def test_no_minute_has_more_than_ten(pauses: list[float]) -> None:
    """However they are spread, no address is let through more often."""
    clock, passed = Clock(), list[float]()
    throttle = Throttle(clock=clock)
    for pause in pauses:
        clock.now += pause
        wait = throttle.failed("10.0.0.1")
        assert 0 <= wait <= SECONDS
        if not wait:
            passed.append(clock.now)
    for first, later in zip(passed, passed[LIMIT:], strict=False):
        assert later - first >= SECONDS
