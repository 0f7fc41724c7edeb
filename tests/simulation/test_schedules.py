"""Whatever happens between two awaits, nothing is lost and no effect stays twice."""

from dataclasses import replace
from typing import Any

import pytest

from tests.faults.report import note
from tests.simulation.exploration import MODES, Totals, explore
from tests.simulation.regressions import FOUND, MENDED
from tests.simulation.scenario import Scenario
from tests.simulation.service import KINDS
from tests.simulation.simulation import simulate

ALL_KINDS = Scenario(partitions=((*KINDS, "twin"), ("good", "twin", "poison")))


@pytest.mark.parametrize(
    ("scenarios", "repeatable"),
    [
        pytest.param(500, True, marks=pytest.mark.timeout(600)),
        pytest.param(20_000, False, marks=[pytest.mark.full, pytest.mark.timeout(7200)]),
    ],
)
def test_no_schedule_loses_an_event_or_keeps_an_effect_twice(
    *, scenarios: int, repeatable: bool
) -> None:
    """Processes die, freeze and stop, requests and replies are lost, partitions change hands."""
    totals = explore(scenarios=scenarios, repeatable=repeatable)

    _report(totals)
    assert totals.scenarios >= scenarios
    assert min(totals.hit[fault] for fault in totals.injected) >= scenarios / 50
    assert totals.refused > 0


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_without_faults_every_handler_runs_as_often_as_its_event_asks_for(
    mode: dict[str, Any],
) -> None:
    """What is measured with faults is due to the faults."""
    report = simulate(replace(ALL_KINDS, **mode))

    assert report.violations == []
    assert report.injected == {}


def test_a_schedule_runs_the_same_way_each_time() -> None:
    """A failing schedule can be kept, and shows the same again."""
    scenario = replace(ALL_KINDS, choices=bytes(range(256)))

    assert simulate(scenario).trace == simulate(scenario).trace


@pytest.mark.parametrize("scenario", [*MENDED, *(scenario for _, scenario in FOUND)])
def test_a_schedule_that_was_kept_passes(scenario: Scenario) -> None:
    """What has been found once is looked for each time."""
    assert simulate(scenario).violations == []


def _report(totals: Totals) -> None:
    for fault in totals.injected:
        injected, hit = totals.injected[fault], totals.hit[fault]
        note(f"simulated: {fault}", injected=injected, hit=hit, events=totals.events)
    print(  # noqa: T201 - shown by `pytest -s`, for the report on reliability
        f"{totals.scenarios} schedules, {totals.events} events, {totals.runs} handler runs,"
        f" {totals.injected.total()} faults ({totals.hit.total()} with an event in flight),"
        f" {totals.refused} commits of zombies refused; violations: 0,"
        f" that is less than {3 / totals.scenarios:.5f} per schedule at 95 %"
    )
