"""Workers die at every point of an event's way, and handlers do what no handler should."""

from collections.abc import Sequence

import pytest

from tests.end_to_end.stage import Stage
from tests.faults.failpoints import FAILPOINTS
from tests.faults.fallible import (
    EVENTS,
    MODES,
    check,
    produce,
    repeated,
    start,
    uncommitted,
    wait_for_death,
    wait_for_failpoint,
)
from tests.faults.report import note

DATABASES = ("postgresql", "mariadb", "sqlite")
TIMES = {"decoded": 30, "handler_in": 30, "handler_out": 30}
"""The how-manieth time is the last one: of points that each event passes, so that some are done."""
PASSES = 3
"""The same for points that a batch passes."""


CHAINS = (
    ("fallible", "postgresql", FAILPOINTS[0::3]),
    ("fallible_transactional", "mariadb", FAILPOINTS[1::3]),
    ("fallible_transactional", "sqlite", FAILPOINTS[2::3]),
)
"""Together, each failpoint once."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("mode", "database", "failpoints"), CHAINS)
def test_workers_die_one_after_the_other(
    stage: Stage, mode: str, failpoints: Sequence[str]
) -> None:
    """Each goes on where the one before it has died, and dies elsewhere."""
    produce(stage, mode)
    produce(stage, mode)
    for failpoint in failpoints:
        die(stage, failpoint)
    start(stage)
    check(stage, mode)
    deaths, events = len(failpoints), len(stage.ledger.entries)
    note("W1", injected=deaths, hit=deaths, events=events, duplicates=repeated(stage))


@pytest.mark.full
@pytest.mark.parametrize("failpoint", FAILPOINTS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("database", DATABASES)
def test_a_worker_may_die_anywhere(stage: Stage, failpoint: str, mode: str) -> None:
    """Whatever was done and not said, or said and not done: each event has one outcome."""
    produce(stage, mode)
    die(stage, failpoint)
    start(stage)
    check(stage, mode)
    note("W1", injected=1, hit=1, events=EVENTS, duplicates=repeated(stage))


def die(stage: Stage, failpoint: str) -> None:
    """Have a worker kill itself at a failpoint with events in flight."""
    worker = start(stage, FAILPOINTS=f"{failpoint}=kill@{TIMES.get(failpoint, PASSES)}")
    wait_for_death(worker, failpoint)
    assert uncommitted(stage), "it had done all its work before"


@pytest.mark.parametrize("mode", MODES)
def test_a_worker_that_loses_the_reply_to_a_commit_goes_on(stage: Stage, mode: str) -> None:
    """It asks what the database knows, and finds that it has committed."""
    produce(stage, mode)
    worker = start(stage, FAILPOINTS="commit_reply_lost=raise@3")
    wait_for_failpoint(worker, "commit_reply_lost")
    check(stage, mode)
    assert worker.running
    assert "checkpoint.database_unavailable" in worker.output
    # In a transaction, whoever fails has those before it run again.
    assert repeated(stage) == 0 or mode == "fallible_transactional"
    note("D7, in the driver", injected=1, hit=1, events=EVENTS, duplicates=repeated(stage))


@pytest.mark.parametrize(
    "mode", [pytest.param("fallible", marks=pytest.mark.full), "fallible_transactional"]
)
def test_a_lane_that_is_cancelled_ends_its_worker_aloud(stage: Stage, mode: str) -> None:
    """Else its partition would stand still, unsaid; the transaction in hand counts for nothing."""
    produce(stage, mode)
    worker = start(stage, FAILPOINTS="before_commit=cancel@3")
    wait_for_failpoint(worker, "before_commit")
    start(stage)
    check(stage, mode)
    assert worker.end() != 0
    assert "checkpoint.lane_crashed" in worker.output
    note("D8, by a task", injected=1, hit=1, events=EVENTS, duplicates=repeated(stage))
