"""Work for the agents of `service.py` that fail now and then, and what must come of it."""

from collections.abc import Mapping
from signal import SIGKILL

import orjson

from tests.end_to_end.invariants import check_effects, check_nothing_is_lost, check_order
from tests.end_to_end.journal import Place
from tests.end_to_end.ledger import Produced
from tests.end_to_end.stage import Stage
from tests.end_to_end.worker import Worker
from tests.polling import eventually

MODES = ("fallible", "fallible_transactional")
EVENTS = 300
KEYS = [b"key-%d" % number for number in range(16)]
SECONDS = 0.002
FAILURES = {3: 1, 7: 2}
"""How often an event fails whose number, modulo 20, is this; two times are one too many."""
SESSION_SECONDS = 1
RECOVERY_LIMIT = 60.0


def start(stage: Stage, **environ: str) -> Worker:
    """Start a worker that is taken for dead soon after its death."""
    environ.setdefault("SESSION_TIMEOUT", str(SESSION_SECONDS))
    return stage.start(ready=False, web=False, service="tests.faults.service", **environ)


def produce(
    stage: Stage, mode: str, *, seconds: float = SECONDS, failures: Mapping[int, int] = FAILURES
) -> None:
    """Produce events of which some succeed, some do at the second attempt and some fail."""
    first = len(stage.ledger.entries)
    if not first:
        for agent in MODES:
            stage.kafka.create_topic(stage.topic(agent))
    values = [
        orjson.dumps({"id": number, "seconds": seconds, "failures": failures.get(number % 20, 0)})
        for number in range(first, first + EVENTS)
    ]
    stage.ledger.produce(stage.topic(mode), values, keys=KEYS)


def wait_for_output(worker: Worker, text: str) -> None:
    """Return once a worker has printed a text."""

    def printed() -> None:
        assert text in worker.output

    eventually(printed, timeout=RECOVERY_LIMIT)


def wait_for_failpoint(worker: Worker, name: str) -> None:
    """Return once a worker is where it was told to do something."""
    wait_for_output(worker, f"failpoint {name}")


def wait_for_death(worker: Worker, failpoint: str) -> None:
    """Return once a worker has killed itself where it was told to."""
    wait_for_failpoint(worker, failpoint)

    def dead() -> None:
        assert not worker.running

    eventually(dead)
    assert worker.end(SIGKILL) == -SIGKILL


def uncommitted(stage: Stage) -> list[Place]:
    """Return where the events lie that the group has not committed."""
    committed = stage.committed()
    places = (produced.place for produced in stage.ledger.entries)
    return [one for one in places if one.offset >= committed.get((one.topic, one.partition), 0)]


def fails(message: Produced) -> bool:
    """Return whether an event fails for good."""
    assert message.value is not None
    return bool(orjson.loads(message.value)["failures"] > 1)


def repeated(stage: Stage) -> int:
    """Return how many handlers have come to a good end again."""
    finished = [entry.place for entry in stage.journal.read() if entry.step == "finished"]
    return len(finished) - len(set(finished))


def check(stage: Stage, mode: str) -> None:
    """Wait until every event is settled and committed, and check what must hold then."""
    produced = stage.ledger.entries
    stage.wait_until_settled(timeout=RECOVERY_LIMIT)
    places = [message.place for message in produced]
    eventually(lambda: stage.check_committed(places), timeout=RECOVERY_LIMIT)
    check_nothing_is_lost(produced, stage.outcomes())
    check_order(produced, stage.journal.read())
    with_effects = produced if mode == "fallible_transactional" else []
    check_effects([one for one in with_effects if not fails(one)], stage.effects())
