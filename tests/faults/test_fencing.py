"""A worker that was taken for dead and is not can commit neither an offset nor an effect."""

import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.worker import Worker
from tests.faults.fallible import (
    MODES,
    check,
    produce,
    repeated,
    start,
    uncommitted,
    wait_for_failpoint,
    wait_for_output,
)
from tests.faults.report import note
from tests.polling import eventually

REFUSED = "OffsetCommit failed for group"
"""What aiokafka says when the broker does not take an offset."""


def wait_until_at_work(stage: Stage, worker: Worker, *, since: int) -> None:
    """Return once a worker has begun an event after so many lines of the journal."""

    def at_work() -> None:
        assert worker.pid in {entry.pid for entry in stage.journal.read(since)}

    eventually(at_work, timeout=60)


@pytest.mark.parametrize(
    ("mode", "failpoint"),
    [
        (MODES[1], "handler_out"),
        pytest.param(MODES[0], "handler_out", marks=pytest.mark.full),
        *(pytest.param(mode, "before_ack", marks=pytest.mark.full) for mode in MODES),
    ],
)
def test_a_zombie_is_fenced(stage: Stage, mode: str, failpoint: str) -> None:
    """It stands still with events in hand until another worker has settled all, and goes on."""
    produce(stage, mode)
    zombie = start(stage, FAILPOINTS=f"{failpoint}=stop@3")
    wait_for_failpoint(zombie, failpoint)
    assert uncommitted(stage)
    other = start(stage)
    check(stage, mode)
    assert REFUSED not in zombie.output
    zombie.thaw()
    wait_for_output(zombie, REFUSED)
    duplicates = repeated(stage)
    rejoined = len(stage.journal.read())
    produce(stage, mode)
    wait_until_at_work(stage, zombie, since=rejoined)
    check(stage, mode)
    stage.end([zombie, other])
    note("W5", injected=1, hit=1, events=len(stage.ledger.entries), duplicates=duplicates)


@pytest.mark.parametrize(
    "database", ["postgresql", pytest.param("mariadb", marks=pytest.mark.full)]
)
def test_a_zombie_with_its_commit_in_hand_has_no_second_effect(stage: Stage) -> None:
    """Whoever takes over waits for the transaction that stands still, and finds it committed."""
    mode = "fallible_transactional"
    produce(stage, mode)
    zombie = start(stage, FAILPOINTS="before_commit=stop@3")
    wait_for_failpoint(zombie, "before_commit")
    held = len(stage.settled())
    other = start(stage)
    wait_until_at_work(stage, other, since=len(stage.journal.read()))
    zombie.thaw()
    check(stage, mode)
    assert len(stage.settled()) > held
    stage.end([zombie, other])
    note("W5", injected=1, hit=1, events=len(stage.ledger.entries), duplicates=repeated(stage))
