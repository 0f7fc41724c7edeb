"""Scenarios that once violated an invariant, or in which a canary did, as short as they became."""

from tests.simulation.simulation import Scenario

REGRESSIONS: tuple[Scenario, ...] = ()
