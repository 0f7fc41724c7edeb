"""The simulation finds each planted bug, else it would prove nothing."""

import pytest

from app.checkpoint.pipeline import Pipeline
from tests.simulation import canaries
from tests.simulation.exploration import explore

ENOUGH = 400
"""Scenarios within which a bug must be found."""


@pytest.mark.parametrize(
    ("bug", "violated"),
    [
        (canaries.AcksBeforeCommit, "I1"),
        (canaries.SkipsAcks, "I1"),
        (canaries.AcksOutOfOrder, "I1|I6"),
        (canaries.FailsAfterAck, "I1"),
        (canaries.AcksWhatRaised, "I1"),
    ],
)
def test_a_planted_bug_is_found(bug: type[Pipeline], violated: str) -> None:
    """One invariant or the other is violated."""
    with pytest.raises(AssertionError, match=violated):
        explore(scenarios=ENOUGH, shrink=False, variant=canaries.planted(bug))


def test_deduplication_without_a_constraint_is_found() -> None:
    """Two workers may both find nothing, and both write."""
    with pytest.raises(AssertionError, match=r"I3|I5"):
        explore(
            scenarios=ENOUGH,
            shrink=False,
            variant=canaries.planted(canaries.ChecksThenActs),
            store=canaries.NO_UNIQUE_IDENTITY,
        )
