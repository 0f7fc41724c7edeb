"""The simulation finds each planted bug, else it would prove nothing."""

import pytest

from app.checkpoint.pipeline import Pipeline
from tests.simulation import canaries
from tests.simulation.exploration import explore
from tests.simulation.regressions import FOUND
from tests.simulation.scenario import Scenario
from tests.simulation.simulation import simulate

ENOUGH = 400
"""Scenarios within which a bug must be found."""


@pytest.mark.parametrize(
    ("bug", "violated"),
    [
        (canaries.AcksBeforeCommit, r"I1"),
        (canaries.SkipsAcks, r"I1"),
        (canaries.AcksOutOfOrder, r"I1|I6"),
        (canaries.FailsAfterAck, r"I1"),
        (canaries.AcksWhatRaised, r"I1"),
        (canaries.ChecksThenActs, r"I3|I5"),
    ],
)
def test_a_planted_bug_is_found(bug: type[Pipeline], violated: str) -> None:
    """It violates one invariant or the other."""
    with pytest.raises(AssertionError, match=violated):
        explore(
            scenarios=ENOUGH,
            repeatable=True,
            variant=canaries.planted(bug),
            store=canaries.tables(bug),
        )


@pytest.mark.parametrize(("bug", "scenario"), FOUND)
def test_a_planted_bug_shows_in_the_schedule_that_was_kept(
    bug: type[Pipeline], scenario: Scenario
) -> None:
    """A schedule means the same as when it was kept."""
    report = simulate(scenario, variant=canaries.planted(bug), store=canaries.tables(bug))

    assert report.violations
