"""An event that ends the worker each time it is delivered ends as a failure, however it does it."""

import orjson
import pytest
from sqlalchemy import select

from app.checkpoint.claims import MAX_STARTS
from app.checkpoint.models import FailureRow
from tests.end_to_end.invariants import check_effects, check_nothing_is_lost, check_order
from tests.end_to_end.journal import Place
from tests.end_to_end.ledger import Produced
from tests.end_to_end.stage import Stage
from tests.end_to_end.worker import Worker
from tests.faults.report import note
from tests.polling import eventually

SERVICE = "tests.faults.killers"
WAYS = ("exit", "segfault", "system_exit", "kill")
PLACES = ("handler", "decoder")
MODES = ("killers", "killers_transactional", "killers_by_key")
EVENTS = 400
KILLER = 250
"""The number of the event that ends the worker: before and behind it are many that do not."""
KEYS = [b"key-%d" % number for number in range(16)]
MOST_DEATHS = 2 + MAX_STARTS
"""With nothing written down, with its batch, and by itself."""
LIMIT = 60.0
IN_CI = ("segfault", "handler", MODES[1])


def ways() -> list[object]:
    """Return each way to end in handler and decoder with each mode; in CI one."""
    return [
        pytest.param(*case, marks=() if case == IN_CI else pytest.mark.full)
        for case in ((way, where, mode) for way in WAYS for where in PLACES for mode in MODES)
    ]


def produce(stage: Stage, mode: str, killer: dict[str, str]) -> Place:
    """Produce many events and among them one that ends the worker; return where it lies."""
    stage.kafka.create_topic(stage.topic(mode))
    payloads: list[dict[str, object]] = [
        {"id": number, "seconds": 0.001} for number in range(EVENTS)
    ]
    payloads[KILLER] |= killer
    values = [orjson.dumps(payload) for payload in payloads]
    stage.ledger.produce(stage.topic(mode), values, keys=KEYS)
    [place] = [one.place for one in stage.ledger.entries if one.value == values[KILLER]]
    return place


class Supervisor:
    """Starts the worker again whenever it has ended."""

    def __init__(self, stage: Stage) -> None:
        self.deaths = 0
        self._stage = stage
        self.worker = self._start()

    def until_settled(self) -> None:
        """Return once every event has an outcome."""
        while not eventually(self._settled_or_dead, timeout=LIMIT, interval=0.1):
            assert self.worker.end() != 0
            self.deaths += 1
            self.worker = self._start()

    def _start(self) -> Worker:
        return self._stage.start(service=SERVICE, ready=False, SESSION_TIMEOUT="1")

    def _settled_or_dead(self) -> bool:
        if not self.worker.running:
            return False
        places = {produced.place for produced in self._stage.ledger.entries}
        assert self._stage.settled() == places, self.worker.output[-2000:]
        return True


def check(stage: Stage, mode: str, killer: Place) -> None:
    """Check that the killer has failed, all others are recorded, and each effect is there once."""
    produced = stage.ledger.entries
    good: list[Produced] = [one for one in produced if one.place != killer]
    columns = FailureRow.topic, FailureRow.partition, FailureRow.offset
    rows = stage.fetch(select(*columns, FailureRow.error_class, FailureRow.attempts))
    [(*place, error_class, attempts)] = [tuple(row) for row in rows]
    assert Place(*place) == killer
    assert (error_class.rpartition(".")[2], attempts) == ("ProcessDiedError", MAX_STARTS)
    check_nothing_is_lost(produced, stage.outcomes())
    check_order(produced, stage.journal.read())
    check_effects(good if mode == "killers_transactional" else [], stage.effects())
    stage.check_committed(message.place for message in produced)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("way", "where", "mode"), ways())
def test_an_event_that_ends_the_worker_becomes_a_failure(
    stage: Stage, way: str, where: str, mode: str
) -> None:
    """After a few starts its partition goes on, and nothing else is lost, failed or done twice."""
    killer = produce(stage, mode, {"dies": way, "in": where})
    supervisor = Supervisor(stage)
    supervisor.until_settled()
    stage.end([supervisor.worker])
    check(stage, mode, killer)
    assert MAX_STARTS <= supervisor.deaths <= MOST_DEATHS
    runs = stage.runs()
    begun = supervisor.deaths if where == "handler" else 0
    assert runs[killer] == begun, "the worker ended elsewhere"
    del runs[killer]
    note(
        f"process killer: {way} in {where}, {mode}",
        injected=supervisor.deaths,
        hit=supervisor.deaths,
        events=len(stage.ledger.entries),
        duplicates=runs.total() - len(runs),
    )
