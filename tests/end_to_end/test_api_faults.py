"""Operators, kills and redelivery meet in one failure: its handler's run is nobody's twice."""

import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app.checkpoint.models import EventRow, FailureRow, OperationRow
from tests.end_to_end.client import Answer, Client
from tests.end_to_end.journal import Place
from tests.end_to_end.stage import Stage
from tests.end_to_end.worker import Worker
from tests.polling import eventually
from tests.servers import Kafka, PostgreSQL

TOKEN = "token-" + "t" * 32
AT_ONCE = 20
SLOW = (
    b"",
    b"GET /ping HTTP/1.1\r\nHost: localhost\r\n",
    b"POST /ping HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
)
"""What half-open connections have sent."""
SLOW_COUNT = 500
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def shared(
    kafka: Kafka, postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """Return one stage for all that may find workers on it."""
    url = postgresql.create_database()
    stage = Stage(kafka, url, tmp_path_factory.mktemp("stage"))
    yield stage
    stage.close()
    postgresql.drop_database(url)


@pytest.fixture
def workers(shared: Stage) -> list[Worker]:
    """Return two workers, new ones where others were killed."""
    alive = [worker for worker in shared.workers if worker.status is None]
    missing = range(2 - len(alive))
    settings = {"API_TOKEN": TOKEN, "SESSION_TIMEOUT": "3"}
    new = [shared.start(ready=False, web=True, **settings) for _ in missing]
    for worker in new:
        worker.wait_until_ready()
    return alive + new


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Return threads for requests that are not answered at once."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield threads


def fail(stage: Stage, agent: str, *names: str, **payload: Any) -> tuple[list[int], list[Place]]:
    """Return the ids of new failures, and where their events lie."""
    payloads = [{"id": name, **payload} for name in names]
    ids = stage.settle(agent, *payloads, as_=FailureRow)
    return ids, [produced.place for produced in stage.ledger.entries[-len(names) :]]


def retry(client: Client, failure_id: int) -> Answer:
    """Ask for a retry."""
    return client.ask("POST", f"/v1/failures/{failure_id}/retry")


def status_of(client: Client, failure_id: int) -> str:
    """Return what is told of a failure."""
    return str(client.get(f"/v1/failures/{failure_id}")["status"])


def until_in_hand(stage: Stage, place: Place, *, runs: int = 2) -> int:
    """Return the process in which the last of so many runs is held, once it is."""

    def in_hand() -> int:
        entries = [entry for entry in stage.journal.read() if entry.place == place]
        assert [entry.step for entry in entries] == ["started"] * runs
        return entries[-1].pid

    return eventually(in_hand, timeout=30)


def let_claims_expire(stage: Stage) -> None:
    """Let the database's clock be past the lease of whoever has died."""
    for table in (FailureRow, OperationRow):
        is_claimed = table.claimed_at.is_not(None)
        stage.execute(update(table).where(is_claimed).values(claimed_at=LONG_AGO))


def finished(stage: Stage, place: Place) -> int:
    """Return how many runs for an event have come to their end."""
    entries = [entry for entry in stage.journal.read() if entry.place == place]
    return sum(entry.step == "finished" for entry in entries)


@pytest.mark.parametrize("count", [1, 2], ids=["one worker", "two workers"])
def test_many_retries_at_once_are_one(
    shared: Stage, workers: list[Worker], threads: ThreadPoolExecutor, count: int
) -> None:
    """A1: one runs the handler, and while it does, the others are told so."""
    [failure_id], [place] = fail(shared, "failing", f"at-once-{count}")
    with shared.mended, shared.held:
        asked = [
            threads.submit(retry, workers[number % count].client, failure_id)
            for number in range(AT_ONCE)
        ]

        def all_but_one() -> list[Answer]:
            done = [answer.result() for answer in asked if answer.done()]
            assert len(done) == AT_ONCE - 1
            return done

        refused = eventually(all_but_one, timeout=30)
        until_in_hand(shared, place)
        assert {(answer.status, answer.json["status"]) for answer in refused} == {(409, "retrying")}
    assert Counter(answer.result().status for answer in asked) == {409: AT_ONCE - 1, 200: 1}
    assert (shared.runs()[place], finished(shared, place)) == (2, 1)


def test_what_is_being_retried_is_not_discarded(
    shared: Stage, workers: list[Worker], threads: ThreadPoolExecutor
) -> None:
    """A2: neither by the worker that retries it nor by another; and then it is resolved."""
    [failure_id], [place] = fail(shared, "failing", "deleted")
    with shared.mended, shared.held:
        answer = threads.submit(retry, workers[0].client, failure_id)
        until_in_hand(shared, place)
        for worker in workers:
            told = worker.client.delete(f"/v1/failures/{failure_id}", status=409)
            assert told["status"] == "retrying"
    assert answer.result().status == 200
    told = workers[1].client.delete(f"/v1/failures/{failure_id}", status=409)
    assert told["status"] == "resolved"


def test_a_retry_and_an_equal_event_have_one_effect(
    shared: Stage, workers: list[Worker], threads: ThreadPoolExecutor
) -> None:
    """A2: both handlers have written theirs before either can commit."""
    [failure_id], [place] = fail(shared, "undone", "twin")
    with shared.mended:
        with shared.held:
            answer = threads.submit(retry, workers[0].client, failure_id)
            until_in_hand(shared, place)
            [twin] = shared.produce("undone", {"id": "twin"})
            until_in_hand(shared, twin, runs=1)
        # Whichever is rolled back may run once more.
        assert answer.result().status in {200, 409}
    assert status_of(workers[0].client, failure_id) == "resolved"
    assert len(workers[0].client.get("/v1/events?entity_id=twin")) == 1
    assert len({place, twin} & set(shared.effects())) == 1


def test_a_bulk_retry_takes_what_it_selected(
    shared: Stage, workers: list[Worker], threads: ThreadPoolExecutor
) -> None:
    """A2: what others have settled meanwhile is passed over, what failed meanwhile stays."""
    client = workers[0].client
    ids, places = fail(shared, "failing", "a", "b", "c", "d", type="moving")
    with shared.held:
        with shared.mended:
            asked = client.post(
                "/v1/failures/retry", {"filter": {"event_type": "moving"}}, status=202
            )
            until_in_hand(shared, places[0])
            client.delete(f"/v1/failures/{ids[1]}")
            by_hand = threads.submit(retry, client, ids[2])
            until_in_hand(shared, places[2])
        [late], _ = fail(shared, "failing", "e", type="moving")
        shared.mended.set()
    operation = until_finished(client, asked["id"])
    shared.mended.clear()
    assert by_hand.result().status == 200
    assert (operation["total"], operation["outcomes"]) == (4, {"acknowledged": 2, "passed over": 2})
    assert [status_of(client, failure_id) for failure_id in [*ids, late]] == [
        *("resolved", "discarded", "resolved", "resolved"),
        "open",
    ]
    assert [shared.runs()[place] for place in places] == [2, 1, 2, 2]


@pytest.mark.parametrize("agent", ["failing", "undone"], ids=["plain", "transactional"])
def test_a_retry_that_was_killed_is_taken_up_again(
    shared: Stage, workers: list[Worker], threads: ThreadPoolExecutor, agent: str
) -> None:
    """A3: once its lease is over, and not before; what it wrote in its transaction is gone."""
    victim, other = workers
    [failure_id], [place] = fail(shared, agent, f"killed-{agent}")
    with shared.mended:
        with shared.held:
            answer = threads.submit(retry, victim.client, failure_id)
            assert until_in_hand(shared, place) == victim.pid
            victim.kill()
            assert is_cut(answer)
        assert retry(other.client, failure_id).json["status"] == "retrying"
        let_claims_expire(shared)
        told = other.client.post(f"/v1/failures/{failure_id}/retry")
    assert told == {"acknowledged": True, "outcome": "acknowledged"}
    assert status_of(other.client, failure_id) == "resolved"
    assert (shared.runs()[place], finished(shared, place)) == (3, 1)
    assert shared.effects().count(place) == (1 if agent == "undone" else 0)


def test_a_bulk_retry_that_was_killed_is_finished_by_another_worker(
    shared: Stage, workers: list[Worker]
) -> None:
    """A3: from where it was; each effect is there once."""
    ids, places = fail(shared, "undone", "bulk-a", "bulk-b", "bulk-c")
    with shared.mended:
        with shared.held:
            asked = workers[0].client.post("/v1/failures/retry", {"ids": ids}, status=202)
            pid = until_in_hand(shared, places[0])
            victim, other = sorted(workers, key=lambda worker: worker.pid != pid)
            victim.kill()
        let_claims_expire(shared)
        operation = until_finished(other.client, asked["id"])
    assert operation["outcomes"] == {"acknowledged": 3}
    assert [shared.runs()[place] for place in places] == [3, 2, 2]
    assert [shared.effects().count(place) for place in places] == [1, 1, 1]


def test_slow_connections_hold_up_no_event(shared: Stage, workers: list[Worker]) -> None:
    """A10: five hundred of them stay open while events are settled, and are then hung up on."""
    worker = workers[0]
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(worker.client.port)) for _ in range(SLOW_COUNT)]
        for number, connection in enumerate(slow):
            connection.sendall(SLOW[number % len(SLOW)])
        shared.settle("plain", *({"id": f"slow-{number}"} for number in range(200)), as_=EventRow)
        assert worker.client.ask("GET", "/ping").status == 200
        assert len(list(Path(f"/proc/{worker.pid}/fd").iterdir())) > SLOW_COUNT
        for connection in slow:
            while connection.recv(4096):
                pass


def test_a_process_that_only_serves_retries_beside_a_redelivery(
    stage: Stage, threads: ThreadPoolExecutor
) -> None:
    """A2, G15: it consumes nothing; what is delivered again meanwhile is not handled again."""
    consumer = stage.start()
    [failure_id], [place] = fail(stage, "failing", "redelivered")
    assert consumer.end() == 0
    stage.rewind()
    server = stage.start(ready=False, web=True, API_TOKEN=TOKEN, WEB_ONLY="1")
    client = server.client

    def ready() -> None:
        assert "[^Worker]: Ready" in server.output

    eventually(ready, timeout=30)
    [listed] = client.get("/v1/failures")
    assert listed["id"] == failure_id
    with stage.mended, stage.held:
        answer = threads.submit(retry, client, failure_id)
        until_in_hand(stage, place)
        assert set(stage.committed().values()) == {0}
        consumer = stage.start()
        eventually(lambda: stage.check_committed([place]), timeout=30)
    assert answer.result().json == {"acknowledged": True, "outcome": "acknowledged"}
    assert (stage.runs()[place], finished(stage, place)) == (2, 1)
    assert status_of(client, failure_id) == "resolved"
    assert "Joined group" in consumer.output
    assert "Joined group" not in server.output
    assert stage.fetch(select(func.count()).select_from(EventRow))[0][0] == 1


def connect(port: int) -> socket.socket:
    """Open a connection on which nobody waits longer than a test does."""
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def until_finished(client: Client, operation_id: int) -> Any:
    """Return a bulk operation once it has ended."""

    def ended() -> Any:
        operation = client.get(f"/v1/operations/{operation_id}")
        assert operation["status"] == "finished"
        return operation

    return eventually(ended, timeout=30)


def is_cut(answer: Future[Answer]) -> bool:
    """Return whether the connection ended before the answer began."""
    return isinstance(answer.exception(timeout=30), ConnectionError)
