"""However a worker is told to end, it does, with status 0, and what it had in hand is not lost."""

from signal import SIGINT, SIGTERM, Signals

import orjson
import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.worker import Worker
from tests.polling import eventually
from tests.servers import PostgreSQL

LONG = "300"
"""A grace time longer than any test waits: whoever ends has not used it up."""
SHORT = "1"
BOTH = ("plain", "transactional")


def produce(stage: Stage, agent: str, count: int = 1, *, seconds: float = 0.0) -> None:
    """Produce so many events, each of which is handled for so many seconds."""
    payloads = [{"id": number, "seconds": seconds} for number in range(count)]
    stage.ledger.produce(stage.topic(agent), [orjson.dumps(payload) for payload in payloads])


def wait_for_runs(stage: Stage, *agents: str) -> None:
    """Return once a handler of each of the agents has started."""

    def started() -> None:
        assert {place.topic for place in stage.runs()} >= {stage.topic(agent) for agent in agents}

    eventually(started, timeout=30)


def wait_for_output(worker: Worker, text: str) -> None:
    """Return once the worker has printed a text."""

    def printed() -> None:
        assert text in worker.output

    eventually(printed, timeout=30)


def settle_the_rest(stage: Stage) -> None:
    """Have another worker settle everything."""
    stage.mended.set()
    worker = stage.start()
    stage.wait_until_settled()
    assert worker.end() == 0
    stage.check_committed(stage.settled())


def test_idle_worker_ends_at_once(stage: Stage) -> None:
    """A worker with nothing to do waits for nothing, and has nothing to complain of."""
    worker = stage.start(GRACE=LONG)
    assert worker.end() == 0
    for complaint in ("Traceback", "WARN", "ERROR", "CRITICAL"):
        assert complaint not in worker.output


@pytest.mark.parametrize(
    "signals", [[SIGTERM], [SIGINT], [SIGTERM, SIGTERM]], ids=["SIGTERM", "SIGINT", "twice"]
)
def test_events_in_hand_are_settled(stage: Stage, signals: list[Signals]) -> None:
    """The handlers that run may finish; what waits behind them is not begun."""
    worker = stage.start(GRACE=LONG)
    for agent in BOTH:
        produce(stage, agent, 40, seconds=1)
    wait_for_runs(stage, *BOTH)
    *earlier, last = signals
    for signal in earlier:
        worker.send(signal)
        wait_for_output(worker, "Signal received")
    assert worker.end(last) == 0
    assert "Traceback" not in worker.output
    begun = stage.runs()
    assert 2 <= len(begun) < 80
    assert stage.settled() == begun.keys()
    assert stage.settled() >= set(stage.effects())
    stage.check_committed(begun)


def test_backoff_ends_at_once(stage: Stage) -> None:
    """An event that waits an hour for its next attempt holds up nothing, and is not given up."""
    worker = stage.start(GRACE=LONG)
    produce(stage, "retrying")
    wait_for_output(worker, "checkpoint.event_retried")
    assert worker.end() == 0
    assert stage.settled() == set()
    assert stage.committed() == {}


def test_unfinished_events_are_left_to_others(stage: Stage) -> None:
    """What hangs longer than the grace time, or was to be retried, is another worker's."""
    worker = stage.start(GRACE=SHORT)
    for agent in (*BOTH, "retrying"):
        produce(stage, agent, seconds=0 if agent == "retrying" else 3600)
    wait_for_runs(stage, *BOTH, "retrying")
    assert worker.end() == 0
    assert stage.settled() == set()
    assert stage.committed() == {}
    settle_the_rest(stage)
    assert set(stage.runs().values()) == {2}
    assert len(stage.effects()) == 1


def test_worker_ends_without_its_database(stage: Stage, postgresql: PostgreSQL) -> None:
    """What cannot be recorded is another worker's."""
    worker = stage.start(GRACE=SHORT)
    for agent in BOTH:
        produce(stage, agent, seconds=1)
    wait_for_runs(stage, *BOTH)
    postgresql.stop("immediate")
    wait_for_output(worker, "checkpoint.database_unavailable")
    assert worker.end() == 0
    assert stage.committed() == {}
    postgresql.start()
    settle_the_rest(stage)
    assert len(stage.effects()) == 1


def test_worker_that_waits_for_its_database_ends(stage: Stage, postgresql: PostgreSQL) -> None:
    """A worker that could not start yet can be told to end."""
    postgresql.stop("immediate")
    worker = stage.start(ready=False, GRACE=SHORT)
    wait_for_output(worker, "checkpoint.database_unavailable")
    assert worker.end() == 0
