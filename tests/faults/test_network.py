"""The network between a worker and its database is slow, or silent, or breaks off."""

import time
from pathlib import Path

import orjson
import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.worker import Worker
from tests.faults.proxy import Proxy
from tests.faults.report import note
from tests.faults.traffic import RECOVERY_LIMIT, Traffic, until
from tests.polling import eventually
from tests.servers.sql import DatabaseServer

FULL = pytest.mark.full
SIZE = 100_000
COUNT = 2500
"""So many events of that size are more than lanes may hold."""
MEGABYTES = 300
"""What a worker may have had in memory at any time."""


def peak_megabytes(worker: Worker) -> float:
    """Return the most memory that a worker has had so far."""
    status = Path(f"/proc/{worker.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1000


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("database", "seconds", "end"),
    [
        ("mariadb", 5, "resumed"),
        pytest.param("postgresql", 15, "reset", marks=FULL),
        pytest.param("mariadb", 60, "reset", marks=FULL),
        pytest.param("postgresql", 60, "resumed", marks=FULL),
    ],
)
def test_a_database_that_says_nothing_is_waited_for(
    request: pytest.FixtureRequest, stage: Stage, database: str, seconds: int, end: str
) -> None:
    """D3: packets vanish in both directions, and come again or find their connections gone."""
    server: DatabaseServer = request.getfixturevalue(database)
    with Proxy(server.port) as proxy:
        traffic = Traffic(stage, DATABASE_URL=proxy.url(stage.database_url))
        with traffic.recovering():
            with traffic.frozen():
                proxy.silence()
            until(time.monotonic() + seconds / 2)
            recorded = traffic.recorded()
            until(time.monotonic() + seconds / 2)
            assert traffic.recorded() == recorded
            if end == "reset":
                assert proxy.cut() > 0
            proxy.resume()
        traffic.finish(f"D3 {end}, {seconds} s ({database})")


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("database", "delay"),
    [
        ("postgresql", 0.5),
        pytest.param("postgresql", 2.0, marks=FULL),
        pytest.param("mariadb", 2.0, marks=FULL),
    ],
)
def test_a_slow_database_holds_up_the_consumer_and_fills_no_memory(
    request: pytest.FixtureRequest, stage: Stage, database: str, delay: float
) -> None:
    """D4: what the worker cannot record yet stays with the broker."""
    server: DatabaseServer = request.getfixturevalue(database)
    values = [orjson.dumps({"id": number, "text": "x" * SIZE}) for number in range(COUNT)]
    with Proxy(server.port) as proxy:
        worker = stage.start(DATABASE_URL=proxy.url(stage.database_url))
        proxy.delay = delay
        stage.ledger.produce(stage.topic("plain"), values)

        def some_are_recorded() -> int:
            count = len(stage.settled())
            assert count > 0
            return count

        in_time = eventually(some_are_recorded, timeout=RECOVERY_LIMIT, interval=0.2)
        assert in_time < COUNT
        proxy.delay = 0.0
        began = time.monotonic()
        stage.wait_until_settled(timeout=RECOVERY_LIMIT)
        peak = peak_megabytes(worker)
        assert worker.end() == 0
    assert peak < MEGABYTES
    stage.check()
    note(
        f"D4 {delay} s an answer ({database}), {peak:.0f} MB",
        injected=1,
        hit=1,
        events=COUNT,
        recovery=[time.monotonic() - began],
    )
