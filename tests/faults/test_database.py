"""A database that cannot do its work for a while is waited for: no event is lost or fails."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.checkpoint.models import FailureRow
from app.checkpoint.replay import AT_ONCE
from tests.end_to_end.stage import Stage
from tests.faults.fallible import wait_for_output
from tests.faults.outages import (
    Outage,
    administered,
    deadlocked,
    down,
    locked,
    migrating,
)
from tests.faults.traffic import RECOVERY_LIMIT, UNAVAILABLE, Traffic, until
from tests.polling import eventually
from tests.servers import MariaDB, PostgreSQL
from tests.servers.sql import DatabaseServer

OUTAGE_SECONDS = 10.0
RETRIES = 12
TOKEN = "token-" + "t" * 32
READ_ONLY = 'ALTER ROLE "{0}" SET default_transaction_read_only = on'
AWAY = "ALTER TABLE checkpoint_events RENAME COLUMN sort_key TO away"
BACK = "ALTER TABLE checkpoint_events RENAME COLUMN away TO sort_key"

ON_POSTGRESQL: dict[str, Outage] = {
    "D1 stopped": down(PostgreSQL.stop),
    "D1 stopped at once": down(lambda server: server.stop("immediate")),
    "D1 killed": down(PostgreSQL.kill),
    "D5 too many connections": administered(
        'ALTER ROLE "{}" CONNECTION LIMIT 1', undo='ALTER ROLE "{}" CONNECTION LIMIT -1'
    ),
    "D6 deadlock": deadlocked,
    "D6 lock wait": locked(
        "ALTER ROLE \"{}\" SET lock_timeout = '100ms'", undo='ALTER ROLE "{}" RESET ALL'
    ),
    "D6 statement timeout": locked(
        "ALTER ROLE \"{}\" SET statement_timeout = '500ms'", undo='ALTER ROLE "{}" RESET ALL'
    ),
    "D10 read only": administered(READ_ONLY, undo='ALTER ROLE "{}" RESET ALL'),
    "D12 migration": migrating(AWAY, BACK),
}
ON_MARIADB: dict[str, Outage] = {
    "D1 stopped": down(MariaDB.stop),
    "D1 killed": down(MariaDB.kill),
    "D5 too many connections": administered(
        "ALTER USER `{}`@`127.0.0.1` WITH MAX_USER_CONNECTIONS 1",
        undo="ALTER USER `{}`@`127.0.0.1` WITH MAX_USER_CONNECTIONS 0",
    ),
    "D6 deadlock": deadlocked,
    "D6 lock wait": locked(
        "SET GLOBAL innodb_lock_wait_timeout = 1", undo="SET GLOBAL innodb_lock_wait_timeout = 50"
    ),
    "D6 statement timeout": locked(
        "SET GLOBAL max_statement_time = 0.5", undo="SET GLOBAL max_statement_time = 0"
    ),
    "D10 read only": administered("SET GLOBAL read_only = 1", undo="SET GLOBAL read_only = 0"),
    "D12 migration": migrating(AWAY, BACK),
}
OUTAGES = {"postgresql": ON_POSTGRESQL, "mariadb": ON_MARIADB}
SAMPLE = {
    ("mariadb", "D5 too many connections"),
    ("mariadb", "D6 deadlock"),
    ("postgresql", "D6 lock wait"),
    ("mariadb", "D6 statement timeout"),
    ("mariadb", "D10 read only"),
    ("postgresql", "D12 migration"),
}
"""Each kind of outage on one of the servers; the test below has D1."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("database", "fault"),
    [
        pytest.param(*case, marks=() if case in SAMPLE else pytest.mark.full)
        for case in [(database, fault) for database in OUTAGES for fault in OUTAGES[database]]
    ],
)
def test_an_outage_costs_nothing(
    request: pytest.FixtureRequest, stage: Stage, database: str, fault: str
) -> None:
    """No failure, no retry used up, nothing handled in vain, and the worker goes on by itself."""
    server: DatabaseServer = request.getfixturevalue(database)
    traffic = Traffic(stage)
    with traffic.recovering(), OUTAGES[database][fault](server, stage.database_url):
        traffic.until_told()
    traffic.finish(f"{fault} ({database})")


@pytest.mark.timeout(180)
def test_ten_seconds_without_a_database_cost_nothing(stage: Stage, postgresql: PostgreSQL) -> None:
    """However often the worker has asked for it meanwhile."""
    traffic = Traffic(stage)
    with traffic.recovering(), OUTAGES["postgresql"]["D1 killed"](postgresql, stage.database_url):
        traffic.until_told()
        until(time.monotonic() + OUTAGE_SECONDS)
    wait_for_output(traffic.worker, "checkpoint.database_available")
    traffic.finish("D1 killed, 10 s (postgresql)")


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("database", "cuts"),
    [
        ("postgresql", 6),
        ("mariadb", 2),
        pytest.param("postgresql", 60, marks=pytest.mark.full),
        pytest.param("mariadb", 60, marks=pytest.mark.full),
    ],
)
def test_connections_that_are_cut_again_and_again_cost_nothing(
    request: pytest.FixtureRequest, stage: Stage, database: str, cuts: int
) -> None:
    """Each cut hits transactions in flight; progress is made between any two of them."""
    server: DatabaseServer = request.getfixturevalue(database)
    traffic = Traffic(stage, events=300 + 20 * cuts)
    for _ in range(cuts):
        with traffic.recovering(), traffic.frozen():
            assert server.terminate_backends() > 0
    traffic.finish(f"D2 ({database})")


def test_a_worker_that_starts_before_its_database_waits_for_it(
    stage: Stage, postgresql: PostgreSQL
) -> None:
    """A platform may start both at once; meanwhile, the worker says what it waits for."""
    stage.ledger.produce(stage.topic("plain"), [b'{"id": "a"}'])
    postgresql.stop()
    worker = stage.start(ready=False)

    def says_so() -> None:
        assert UNAVAILABLE in worker.output

    eventually(says_so, timeout=30)
    postgresql.start()
    stage.wait_until_settled()
    stage.end([worker])


def test_retries_that_hold_connections_do_not_hold_up_agents_or_readers(stage: Stage) -> None:
    """D5: operators have asked for more retries at once than there are connections for."""
    traffic = Traffic(stage, web=True, API_TOKEN=TOKEN)
    client = traffic.worker.client
    names = [{"id": str(number)} for number in range(RETRIES)]
    failures = stage.settle("undone", *names, as_=FailureRow)
    stage.mended.set()
    with ThreadPoolExecutor(RETRIES) as threads:
        with stage.held:
            asked = [threads.submit(client.post, f"/v1/failures/{one}/retry") for one in failures]

            def held() -> None:
                assert list(stage.runs().values()).count(2) == AT_ONCE

            eventually(held, timeout=RECOVERY_LIMIT)
            stage.wait_until_settled(timeout=RECOVERY_LIMIT)
            assert len(client.get("/v1/events?limit=100")) == 100
            assert not any(answer.done() for answer in asked)
        assert all(answer.result(RECOVERY_LIMIT)["acknowledged"] for answer in asked)
    assert UNAVAILABLE not in traffic.worker.output
    stage.end([traffic.worker])
