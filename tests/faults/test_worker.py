"""Workers die at every point of an event's way: the next one makes up for it."""

from collections.abc import Sequence
from signal import SIGKILL

import orjson
import pytest

from tests.end_to_end.invariants import check_effects, check_nothing_is_lost, check_order
from tests.end_to_end.journal import Place
from tests.end_to_end.ledger import Produced
from tests.end_to_end.stage import Stage
from tests.end_to_end.worker import Worker
from tests.faults.failpoints import FAILPOINTS
from tests.faults.report import note
from tests.polling import eventually

SERVICE = "tests.faults.service"
MODES = ("fallible", "fallible_transactional")
DATABASES = ("postgresql", "mariadb", "sqlite")
EVENTS = 300
KEYS = [b"key-%d" % number for number in range(16)]
FAILURES = {3: 1, 7: 2}
"""How often an event fails whose number, modulo 20, is this; two times are one too many."""
TIMES = {"decoded": 30, "handler_in": 30, "handler_out": 30}
"""The how-manieth time is the last one: of points that each event passes, so that some are done."""
PASSES = 3
"""The same for points that a batch passes."""


def turns() -> Sequence[object]:
    """Return each failpoint with each mode and database; in CI, each failpoint once."""
    cases = []
    for number, failpoint in enumerate(FAILPOINTS):
        for mode in MODES:
            for database in DATABASES:
                chosen = mode == MODES[number % 2] and database == DATABASES[number % 3]
                marks = () if chosen else pytest.mark.full
                cases.append(pytest.param(failpoint, mode, database, marks=marks))
    return cases


def produce(stage: Stage, mode: str) -> None:
    """Produce events of which some succeed, some do at the second attempt and some fail."""
    stage.kafka.create_topic(stage.topic(mode))
    values = [
        orjson.dumps({"id": number, "seconds": 0.002, "failures": FAILURES.get(number % 20, 0)})
        for number in range(EVENTS)
    ]
    stage.ledger.produce(stage.topic(mode), values, keys=KEYS)


def wait_for_death(worker: Worker, failpoint: str) -> None:
    """Return once the worker has ended where it was told to."""

    def dead() -> None:
        assert not worker.running, worker.output

    eventually(dead, timeout=60)
    assert worker.end(SIGKILL) == -SIGKILL
    assert f"failpoint {failpoint}" in worker.output


def uncommitted(stage: Stage) -> list[Place]:
    """Return where the events lie that the group has not committed."""
    committed = stage.committed()
    places = (produced.place for produced in stage.ledger.entries)
    return [one for one in places if one.offset >= committed.get((one.topic, one.partition), 0)]


def fails(message: Produced) -> bool:
    """Return whether an event fails for good."""
    assert message.value is not None
    return bool(orjson.loads(message.value)["failures"] > 1)


def check(stage: Stage, mode: str) -> None:
    """Wait until every event is settled and committed, and check what must hold then."""
    produced = stage.ledger.entries
    stage.wait_until_settled()
    eventually(lambda: stage.check_committed(message.place for message in produced), timeout=30)
    check_nothing_is_lost(produced, stage.outcomes())
    check_order(produced, stage.journal.read())
    with_effects = produced if mode == "fallible_transactional" else []
    check_effects([one for one in with_effects if not fails(one)], stage.effects())


def repeated(stage: Stage) -> int:
    """Return how many handlers have come to a good end again."""
    finished = [entry.place for entry in stage.journal.read() if entry.step == "finished"]
    return len(finished) - len(set(finished))


@pytest.mark.parametrize(("failpoint", "mode", "database"), turns())
def test_a_worker_may_die_anywhere(stage: Stage, failpoint: str, mode: str) -> None:
    """Whatever was done and not said, or said and not done: each event has one outcome."""
    produce(stage, mode)
    armed = f"{failpoint}=kill@{TIMES.get(failpoint, PASSES)}"
    first = stage.start(service=SERVICE, ready=False, FAILPOINTS=armed, SESSION_TIMEOUT="1")
    wait_for_death(first, failpoint)
    assert uncommitted(stage), "it had done all its work before"
    stage.start(service=SERVICE, ready=False, SESSION_TIMEOUT="1")
    check(stage, mode)
    note("W1", injected=1, hit=1, events=EVENTS, duplicates=repeated(stage))
