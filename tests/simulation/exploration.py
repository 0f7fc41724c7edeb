"""Many scenarios, made by Hypothesis, which makes a failing one as short as it can."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.simulation.scenario import Scenario, Sent
from tests.simulation.service import KINDS, Kind
from tests.simulation.simulation import Report, simulate
from tests.simulation.worker import Variant

MODES: tuple[dict[str, Any], ...] = ({}, {"transactional": True}, {"by_key": True})
"""How handlers are decorated."""


@dataclass(slots=True)
class Totals:
    """What was tried."""

    scenarios: int = 0
    events: int = 0
    runs: int = 0
    refused: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)

    def add(self, report: Report) -> None:
        """Count one scenario."""
        self.scenarios += 1
        self.events += report.events
        self.runs += report.runs
        self.refused += report.refused
        self.injected += report.injected
        self.hit += report.hit


def explore(
    *, scenarios: int, repeatable: bool, variant: Variant | None = None, store: str = ""
) -> Totals:
    """Try so many scenarios, the same ones each time if it is to be repeatable.

    Raises:
        AssertionError: one of them violated an invariant; pytest shows it, to be kept among the
            regressions.
    """
    totals = Totals()

    @settings(
        max_examples=scenarios,
        # What is found in a planted bug is not to be kept.
        phases=[Phase.generate] if variant else [Phase.generate, Phase.reuse, Phase.shrink],
        derandomize=repeatable,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(_scenarios())
    def holds(scenario: Scenario) -> None:
        report = simulate(scenario, variant=variant, store=store)
        totals.add(report)
        assert not report.violations, "\n".join([*report.violations, *report.trace])

    holds()
    return totals


def _scenarios() -> st.SearchStrategy[Scenario]:
    return st.one_of(*(_scenarios_of(mode) for mode in MODES))


def _scenarios_of(mode: dict[str, Any]) -> st.SearchStrategy[Scenario]:
    return st.builds(
        Scenario,
        **{name: st.just(value) for name, value in mode.items()},
        partitions=_partitions(),
        max_retries=st.sampled_from([2, 0]),
        exclusive=st.booleans(),
        choices=st.binary(min_size=40, max_size=160),
    )


@st.composite
def _partitions(draw: Any) -> tuple[tuple[Sent, ...], tuple[Sent, ...]]:
    first: Kind = draw(st.sampled_from(KINDS))
    behind: list[Sent] = draw(st.lists(_sent(), max_size=3))
    beside: list[Sent] = draw(st.lists(_sent(), max_size=4))
    return (first, *behind), tuple(beside)


def _sent() -> st.SearchStrategy[Sent]:
    more: Collection[Sent] = ("good", "twin", "twin")
    return st.sampled_from([*KINDS, *more])
