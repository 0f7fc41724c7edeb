"""What a handler needs goes away and comes back: the topic waits for it, and nothing else does."""

import time
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from app.checkpoint.models import EventRow, FailureRow
from tests.end_to_end.invariants import check_effects, check_nothing_is_lost, check_order
from tests.end_to_end.journal import Place
from tests.end_to_end.stage import Stage
from tests.end_to_end.worker import Worker
from tests.faults.report import note
from tests.polling import eventually

SERVICE = "tests.faults.dependent"
BUDGET = 10
ATTEMPTS = 2
"""Of an event while its agent is not paused."""
MODES = ("dependent", "dependent_transactional")
DATABASES = ("postgresql", "mariadb", "sqlite")
EVENTS = 2000
KEYS = [b"key-%d" % number for number in range(16)]
LONG = "300"
"""Seconds that nobody may have waited for."""


def cases() -> list[Any]:
    """Return each mode with each database; in CI, one of them."""
    return [
        pytest.param(mode, database, marks=() if (mode, database) == chosen else pytest.mark.full)
        for mode in MODES
        for database in DATABASES
        for chosen in [(MODES[1], DATABASES[0])]
    ]


def produce(stage: Stage, mode: str) -> None:
    """Produce events to all partitions of an agent."""
    stage.kafka.create_topic(stage.topic(mode))
    values = [orjson.dumps({"id": number}) for number in range(EVENTS)]
    stage.ledger.produce(stage.topic(mode), values, keys=KEYS)


def wait_until_paused(worker: Worker) -> None:
    """Return once the worker has paused its agent."""

    def paused() -> None:
        assert "checkpoint.agent_paused" in worker.output

    eventually(paused, timeout=60)


def wait_until_probed(stage: Stage, times: int) -> None:
    """Return once events were tried so often that the budget explains only a part of it."""

    def probed() -> None:
        assert stage.runs().total() >= BUDGET * ATTEMPTS + times

    eventually(probed, timeout=60, interval=0.1)


def readiness(worker: Worker, status: int) -> dict[str, str]:
    """Return what readiness says of each thing once it is answered with this status."""

    def answered() -> dict[str, str]:
        answer = worker.client.ask("GET", "/health/ready")
        assert answer.status == status, answer.body
        checks: dict[str, str] = answer.json["checks"]
        return checks

    return eventually(answered, timeout=60, interval=0.1)


def failed(stage: Stage) -> list[Place]:
    """Return where the events lie that have become failures."""
    columns = FailureRow.topic, FailureRow.partition, FailureRow.offset
    return [Place._make(row) for row in stage.fetch(select(*columns))]


def wait_until_in_flight(stage: Stage) -> None:
    """Return once an event has been begun that is not settled: not so just after a failed probe."""

    def begun() -> None:
        assert set(stage.runs()) - stage.settled(), "no event was in flight"

    eventually(begun, timeout=60)


def check(stage: Stage, mode: str, *, workers: int, runs: int) -> None:
    """Check what must hold when all is settled, after so many runs while nothing could succeed."""
    produced, failures = stage.ledger.entries, failed(stage)
    check_nothing_is_lost(produced, stage.outcomes())
    check_order(produced, stage.journal.read())
    stage.check_committed(message.place for message in produced)
    probes = runs - workers * BUDGET * ATTEMPTS
    assert len(failures) <= workers * BUDGET + probes // (2 * ATTEMPTS)
    handled = [one for one in produced if one.place not in failures]
    check_effects(handled if mode == MODES[1] else [], stage.effects())
    assert len(stage.fetch(select(EventRow.id))) == len(handled)


def finished_again(stage: Stage) -> int:
    """Return how many handlers have come to a good end again."""
    finished = [entry.place for entry in stage.journal.read() if entry.step == "finished"]
    return len(finished) - len(set(finished))


@pytest.mark.parametrize(("mode", "database"), cases())
def test_an_outage_pauses_the_agent_until_it_is_over(stage: Stage, mode: str) -> None:
    """Readiness says so; without any help all goes on, and a handful of events have failed."""
    produce(stage, mode)
    worker = stage.start(service=SERVICE, web=True)
    wait_until_paused(worker)
    checks = readiness(worker, 503)
    error = f"{BUDGET} events in a row failed with ConnectionRefusedError"
    assert checks.pop("agents") == f"{SERVICE}.{mode} is paused: {error}"
    assert set(checks.values()) == {"ok"}
    wait_until_probed(stage, 20)
    wait_until_in_flight(stage)
    runs, back = stage.runs().total(), time.monotonic()
    stage.mended.set()
    assert set(readiness(worker, 200).values()) == {"ok"}
    recovery = time.monotonic() - back
    stage.wait_until_settled()
    assert worker.end() == 0
    # A probe may have failed while these were counted.
    check(stage, mode, workers=1, runs=runs + 2 * ATTEMPTS)
    note(
        "outage of a dependency",
        injected=1,
        hit=1,
        events=EVENTS,
        duplicates=finished_again(stage),
        recovery=[recovery],
    )


def test_a_worker_may_be_killed_while_its_agent_is_paused(stage: Stage) -> None:
    """The next one finds the outage out for itself, at the price of another budget."""
    mode = MODES[0]
    produce(stage, mode)
    first = stage.start(service=SERVICE, SESSION_TIMEOUT="1", PROBE_SECONDS=LONG)
    wait_until_paused(first)
    wait_until_in_flight(stage)
    first.kill()
    second = stage.start(service=SERVICE, SESSION_TIMEOUT="1")
    wait_until_paused(second)
    runs = stage.runs().total()
    stage.mended.set()
    stage.wait_until_settled()
    assert second.end() == 0
    check(stage, mode, workers=2, runs=runs + 2 * ATTEMPTS)
    note(
        "kill -9 while an agent is paused",
        injected=1,
        hit=1,
        events=EVENTS,
        duplicates=finished_again(stage),
    )


def test_a_paused_worker_that_is_told_to_end_does_so_at_once(stage: Stage) -> None:
    """Whatever grace it has, and however far the next probe is; what was held is handled later."""
    mode = MODES[0]
    produce(stage, mode)
    first = stage.start(service=SERVICE, GRACE=LONG, PROBE_SECONDS=LONG)
    wait_until_paused(first)
    wait_until_in_flight(stage)
    assert first.end() == 0
    assert len(failed(stage)) == BUDGET
    stage.mended.set()
    second = stage.start(service=SERVICE)
    stage.wait_until_settled()
    assert second.end() == 0
    check(stage, mode, workers=1, runs=BUDGET * ATTEMPTS)
    note("SIGTERM while an agent is paused", injected=1, hit=1, events=EVENTS)
