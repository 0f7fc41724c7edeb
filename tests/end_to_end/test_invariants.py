"""What is to find lost, repeated and disordered events does find them."""

import pytest

from tests.end_to_end.invariants import (
    check_commits,
    check_effects,
    check_nothing_is_lost,
    check_order,
)
from tests.end_to_end.journal import Entry, Place, Step
from tests.end_to_end.ledger import Produced

PLACES = [Place("orders", 0, offset) for offset in range(4)]
PRODUCED = [
    Produced(place=place, key=key, value=b"{}")
    for place, key in zip(PLACES, [b"a", b"b", b"a", b"b"], strict=True)
]
END = {("orders", 0): 4}


def finished(*offsets: int, step: Step = "finished") -> list[Entry]:
    """Return a journal in which these runs stand in this order."""
    return [Entry(pid=1, step=step, attempt=1, place=PLACES[offset]) for offset in offsets]


def test_all_is_well() -> None:
    """Evidence without a fault raises nothing; a run that is repeated is none."""
    check_nothing_is_lost(PRODUCED, PLACES)
    check_commits(PRODUCED, END, END)
    check_commits(PRODUCED, {}, {})
    check_commits(PRODUCED, {("orders", 0): 3}, {("orders", 0): 3})
    check_effects(PRODUCED, reversed(PLACES))
    check_order(PRODUCED, finished(0, 1, 0, 2, 1, 3))
    check_order(PRODUCED, finished(1, 0, 3, 2))
    check_order(PRODUCED, finished(2, step="started") + finished(0, 2))


@pytest.mark.parametrize(
    ("settled", "fault"), [(PLACES[:-1], "lost"), ([*PLACES, PLACES[0]], "more than once")]
)
def test_missing_and_double_outcomes_are_found(settled: list[Place], fault: str) -> None:
    """Every message has exactly one outcome."""
    with pytest.raises(AssertionError, match=fault):
        check_nothing_is_lost(PRODUCED, settled)


@pytest.mark.parametrize("settled", [{}, {("orders", 0): 3}, {("orders", 1): 4}])
def test_a_commit_on_hope_is_found(settled: dict[tuple[str, int], int]) -> None:
    """One event without an outcome below the committed offset is enough."""
    with pytest.raises(AssertionError, match="without an outcome"):
        check_commits(PRODUCED, END, settled)


@pytest.mark.parametrize("effects", [PLACES[1:], [*PLACES, PLACES[0]], []])
def test_missing_and_double_effects_are_found(effects: list[Place]) -> None:
    """Every message has exactly one effect."""
    with pytest.raises(AssertionError):
        check_effects(PRODUCED, effects)


@pytest.mark.parametrize("order", [[2, 0], [3, 0, 2, 1], [0, 0, 3, 2, 3, 1]])
def test_disorder_within_a_key_is_found(order: list[int]) -> None:
    """An event that overtakes an earlier one of its key is found."""
    with pytest.raises(AssertionError, match="after offset"):
        check_order(PRODUCED, finished(*order))
