"""The worst moment for a fault is a COMMIT: whether it was done, the worker cannot know."""

import time

import orjson
import pytest
from sqlalchemy import func, select

from app.checkpoint.models import EventRow, FailureRow
from tests.end_to_end.effects import effects
from tests.end_to_end.stage import Stage
from tests.faults.proxy import Breach, Proxy
from tests.faults.report import note
from tests.faults.traffic import RECOVERY_LIMIT, Traffic
from tests.polling import eventually
from tests.servers.sql import DatabaseServer

COMMITS = 20
"""How many COMMITs go wrong, one after the other."""
TWINS = 60
FULL = pytest.mark.full


def until_broken(proxy: Proxy, count: int) -> None:
    """Wait until so many COMMITs have gone wrong."""

    def broken() -> None:
        assert proxy.broken == count

    eventually(broken, timeout=RECOVERY_LIMIT)


@pytest.mark.parametrize(
    ("database", "breach"),
    [
        ("postgresql", "swallow"),
        ("mariadb", "drop"),
        pytest.param("postgresql", "drop", marks=FULL),
        pytest.param("mariadb", "swallow", marks=FULL),
    ],
)
def test_a_commit_whose_result_is_unknown_is_looked_up(
    request: pytest.FixtureRequest, stage: Stage, database: str, breach: Breach
) -> None:
    """D7: it was done and the reply got lost, or it was not done: nothing happens twice."""
    server: DatabaseServer = request.getfixturevalue(database)
    with Proxy(server.port) as proxy:
        traffic = Traffic(stage, DATABASE_URL=proxy.url(stage.database_url))
        with traffic.recovering():
            proxy.breach(breach, COMMITS)
            until_broken(proxy, COMMITS)
        traffic.injected = traffic.hit = COMMITS
        traffic.finish(f"D7 {breach} ({database})")


@pytest.mark.parametrize("database", ["postgresql", pytest.param("mariadb", marks=FULL)])
def test_a_worker_that_is_stopped_while_it_commits_leaves_no_doubt(
    request: pytest.FixtureRequest, stage: Stage, database: str
) -> None:
    """D8: it ends after its grace time; what was committed is not handled again."""
    server: DatabaseServer = request.getfixturevalue(database)
    with Proxy(server.port) as proxy:
        url = proxy.url(stage.database_url)
        traffic = Traffic(stage, DATABASE_URL=url, GRACE="1")
        proxy.breach("hold", 2)
        until_broken(proxy, 2)
        began = time.monotonic()
        assert traffic.worker.end() == 0
        assert time.monotonic() - began < RECOVERY_LIMIT / 2
    traffic.injected = traffic.hit = 2
    traffic.worker = stage.start()
    traffic.finish(f"D8 ({database})")


@pytest.mark.parametrize("database", ["mariadb", pytest.param("postgresql", marks=FULL)])
def test_of_equal_events_one_takes_effect_when_the_first_is_rolled_back(
    request: pytest.FixtureRequest, stage: Stage, database: str
) -> None:
    """D13: three lanes meet in one identity, and whoever comes first loses its COMMIT."""
    server: DatabaseServer = request.getfixturevalue(database)
    topic = stage.topic("transactional")
    values = [orjson.dumps({"id": number, "seconds": 0.02}) for number in range(TWINS)]
    for partition in range(3):
        stage.ledger.produce(topic, values, partition=partition)
    with Proxy(server.port) as proxy:
        proxy.breach("drop", COMMITS)
        worker = stage.start(DATABASE_URL=proxy.url(stage.database_url))
        until_broken(proxy, COMMITS)

        def done() -> None:
            stage.check_committed(produced.place for produced in stage.ledger.entries)

        eventually(done, timeout=RECOVERY_LIMIT, interval=0.2)
        assert worker.end() == 0
    assert stage.fetch(select(FailureRow.id)) == []
    [[rows]] = stage.fetch(select(func.count()).select_from(EventRow))
    [[done_effects]] = stage.fetch(select(func.count()).select_from(effects))
    runs = stage.runs().total()
    assert rows == done_effects == TWINS
    assert runs > TWINS + COMMITS, "no two of them have met"
    note(
        f"D13 ({database})",
        injected=COMMITS,
        hit=COMMITS,
        events=3 * TWINS,
        duplicates=runs - TWINS,
    )
