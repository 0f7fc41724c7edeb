"""What the ancestor's API could do, asked of a worker over its port; its events are Kafka's."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, update

from app.checkpoint.models import EventRow, FailureRow
from tests.end_to_end.client import Client
from tests.end_to_end.stage import Stage
from tests.polling import eventually
from tests.servers import Kafka

TOKEN = "token-" + "t" * 32
EVENT_FIELDS = {
    *("id", "topic", "group_id", "entity_id", "event_time", "event_type", "event_version"),
    *("checksum", "payload", "created_at"),
}
FAILURE_FIELDS = {
    *EVENT_FIELDS,
    *("metadata", "error_class", "error_message", "error_backtrace"),
}
ORDER = {"id": "order-7", "time": "2016-09-19T19:35:26.854Z", "type": "placed", "version": 2}


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of one new database of each kind for all that is asked here."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('database') / 'service.db'}"
        return
    server = request.getfixturevalue(request.param)
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture(scope="module")
def stage(url: str, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return a stage with one worker, who serves the API."""
    stage = Stage(kafka, url, tmp_path_factory.mktemp("stage"))
    stage.start(web=True, API_TOKEN=TOKEN)
    yield stage
    stage.close()


@pytest.fixture
def client(stage: Stage) -> Client:
    """Return a client of the worker."""
    return stage.workers[0].client


def fail(stage: Stage, *payloads: Any) -> list[int]:
    """Return the ids of failures that these payloads have become."""
    return stage.settle("failing", *payloads, as_=FailureRow)


def test_ping_answers_pong(client: Client) -> None:
    """G1: plain text, to whoever asks."""
    answer = Client(client.port).ask("GET", "/ping")
    assert (answer.status, answer.body) == (200, b"PONG")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_an_event_is_shown(stage: Stage, client: Client) -> None:
    """G2, G13: with the ancestor's fields, as JSON, its times in UTC with milliseconds."""
    [event_id] = stage.settle("plain", ORDER, as_=EventRow)
    event = client.get(f"/v1/events/{event_id}")
    assert event.keys() >= EVENT_FIELDS
    assert (event["id"], event["payload"]) == (event_id, ORDER)
    assert (event["topic"], event["group_id"]) == (stage.topic("plain"), stage.group)
    assert (event["entity_id"], event["event_type"], event["event_version"]) == (
        "order-7",
        "placed",
        "2",
    )
    assert event["event_time"] == ORDER["time"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["created_at"])


@pytest.mark.parametrize("subject", ["event", "failure"])
@pytest.mark.parametrize("name", ["999999", "abc"])
def test_what_there_is_not_is_not_found(client: Client, subject: str, name: str) -> None:
    """G3, G5, G8, G9, G10: a number or not, and whatever is to be done about it."""
    path = f"/v1/{subject}s/{name}"
    answers = [client.get(path, status=404), client.post(f"{path}/retry", status=404)]
    if subject == "failure":
        answers.append(client.delete(path, status=404))
    for told in answers:
        assert (told["error"], told["message"]) == (True, f"{subject} not found")


@pytest.mark.parametrize(("subject", "agent"), [("events", "plain"), ("failures", "failing")])
def test_lists_are_filtered_and_newest_first(
    stage: Stage, client: Client, subject: str, agent: str
) -> None:
    """G4, G6: twenty rows unless told otherwise; each filter must fit."""
    payloads = [
        {"id": f"listed-{number % 2}", "type": f"{subject}-listed", "time": number * 7 % 25}
        for number in range(25)
    ]
    row = EventRow if subject == "events" else FailureRow
    ids = stage.settle(agent, *payloads, as_=row)
    newest = [ids[at] for at in sorted(range(25), key=lambda at: at * 7 % 25, reverse=True)]

    def listed(**query: object) -> list[int]:
        asked = {"event_type": f"{subject}-listed", **query}
        query_string = "&".join(f"{name}={value}" for name, value in asked.items())
        return [body["id"] for body in client.get(f"/v1/{subject}?{query_string}")]

    assert listed() == newest[:20]
    assert listed(limit=3, offset=20) == newest[20:23]
    assert listed(entity_id="listed-1", topic=stage.topic(agent), group_id=stage.group) == [
        row_id for row_id in newest if ids.index(row_id) % 2
    ]
    for name in ("entity_id", "topic", "group_id"):
        assert listed(**{name: "another"}) == []


def test_an_event_is_handled_again_by_force(stage: Stage, client: Client) -> None:
    """G5: through the same pipeline; its row stays the only one."""
    [event_id] = stage.settle("plain", {"id": "again"}, as_=EventRow)
    told = client.post(f"/v1/events/{event_id}/retry")
    assert told == {"acknowledged": True, "outcome": "acknowledged"}
    assert stage.runs()[stage.ledger.entries[-1].place] == 2
    assert [event["id"] for event in client.get("/v1/events?entity_id=again")] == [event_id]


def test_failures_are_counted(stage: Stage, client: Client) -> None:
    """G7, G14, X17: `count` is no id, and what is counted can be chosen."""
    before = client.get("/v1/failures/count")["count"]
    fail(stage, {"id": "counted", "type": "a"}, {"id": "counted", "type": "b"})
    assert client.get("/v1/failures/count")["count"] == before + 2
    assert client.get("/v1/failures/count?entity_id=counted&event_type=a")["count"] == 1


def test_a_failure_is_shown(stage: Stage, client: Client) -> None:
    """G8: with the ancestor's fields."""
    [failure_id] = fail(stage, {**ORDER, "id": "shown"})
    failure = client.get(f"/v1/failures/{failure_id}")
    assert failure.keys() >= FAILURE_FIELDS
    assert (failure["error_class"], failure["error_message"]) == ("RuntimeError", "shown")
    assert failure["error_backtrace"]
    assert failure["metadata"]["offset"] == failure["offset"]
    assert failure["metadata"]["retry_count"] == 0


def test_a_failure_is_discarded(stage: Stage, client: Client) -> None:
    """G9: it is no longer among those that something is to be done about, and stays known."""
    [failure_id] = fail(stage, {"id": "discarded"})
    assert client.delete(f"/v1/failures/{failure_id}") == {"acknowledged": True}
    assert client.get("/v1/failures?entity_id=discarded") == []
    assert client.get(f"/v1/failures/{failure_id}")["status"] == "discarded"
    with stage.mended:
        told = client.post(f"/v1/failures/{failure_id}/retry", status=409)
    assert told["status"] == "discarded"


@pytest.mark.parametrize("skip", [False, True], ids=["acknowledged", "skipped"])
def test_a_failure_is_retried(stage: Stage, client: Client, *, skip: bool) -> None:
    """G10: once the handler is mended; the answer says whether there is an event now."""
    name = f"mended-{skip}"
    [failure_id] = fail(stage, {"id": name, "skip": skip})
    with stage.mended:
        told = client.post(f"/v1/failures/{failure_id}/retry")
    assert told["acknowledged"] is not skip
    assert len(client.get(f"/v1/events?entity_id={name}")) == (0 if skip else 1)
    failure = client.get(f"/v1/failures/{failure_id}")
    assert (failure["status"], len(failure["event_ids"])) == ("resolved", 0 if skip else 1)
    [entry] = client.get(f"/v1/audit?subject=failure&subject_id={failure_id}")
    assert (entry["action"], entry["actor"]) == ("retry", "ops")


def test_a_failure_survives_a_retry_that_fails(stage: Stage, client: Client) -> None:
    """G10, X2: also where the first attempt was the last; the answer is what the handler raised."""
    [failure_id] = fail(stage, {"id": "stubborn"})
    for attempts in (2, 3):
        told = client.post(f"/v1/failures/{failure_id}/retry", status=422)
        assert (told["error"], told["message"]) == (True, "stubborn")
        failure = client.get(f"/v1/failures/{failure_id}")
        assert (failure["status"], failure["attempts"]) == ("open", attempts)


def test_where_there_is_no_route_nothing_is_found(client: Client) -> None:
    """G11: in the form of every error."""
    told = client.get("/v1/nowhere", status=404)
    assert (told["error"], told["message"]) == (True, "not found")


def test_a_fault_of_ours_is_told_by_its_id(stage: Stage, client: Client) -> None:
    """G12, H2: whoever asks learns no more; the log has the rest, as an error."""
    [failure_id] = fail(stage, {"id": "broken"})
    by_id = FailureRow.id == failure_id
    [[origin]] = stage.fetch(select(FailureRow.origin).where(by_id))
    stage.execute(update(FailureRow).where(by_id).values(origin="{}"))
    answer = client.ask("GET", f"/v1/failures/{failure_id}", X_Request_Id="broken-1")
    stage.execute(update(FailureRow).where(by_id).values(origin=origin))
    assert answer.status == 500
    assert answer.json == {"error": True, "message": "internal error", "request_id": "broken-1"}
    line = logged(stage, "broken-1")
    assert "ERROR" in line
    assert "exception_class=KeyError exception_message='headers' backtrace=[" in line


def test_a_request_is_one_line_of_the_log(stage: Stage, client: Client) -> None:
    """H1, H3: who asked for what, how it went and how long it took."""
    headers = {"X_Request_Id": "logged-1", "X_Forwarded_For": "203.0.113.9"}
    answer = client.ask("GET", "/v1/events?limit=1", **headers)
    line = logged(stage, "logged-1")
    assert "INFO" in line
    for field in (
        "remote_address=127.0.0.1",
        "forwarded_for=203.0.113.9",
        "remote_user=ops",
        "request_method=GET",
        "path=/v1/events?limit=1 HTTP/1.1",
        "status=200",
        f"content_length={len(answer.body)}",
    ):
        assert f" {field} " in line
    assert re.search(r" request_time=\d+\.\d{3}s ", line)


def test_a_request_gives_back_its_connection(client: Client) -> None:
    """H5: many more of them than the pools hold, good and bad ones, are all answered."""
    paths = ["/v1/events", "/v1/failures/count", "/v1/failures/999999", "/v1/events?limit=abc"]
    with ThreadPoolExecutor(25) as threads:
        answers = threads.map(lambda path: client.ask("GET", path).status, paths * 25)
    assert list(answers) == [200, 200, 404, 400] * 25


def test_equal_events_of_two_topics_are_two_failures(stage: Stage, client: Client) -> None:
    """X1: neither hides the other."""
    payload = {"id": "twice"}
    ids = [*fail(stage, payload), *stage.settle("undone", payload, as_=FailureRow)]
    checksum = client.get(f"/v1/failures/{ids[0]}")["checksum"]
    assert [body["id"] for body in client.get(f"/v1/failures?checksum={checksum}")] == ids


def test_a_retry_finds_its_agent_and_its_decoder(stage: Stage, client: Client) -> None:
    """X3, X4: on a topic that another agent shares, with a value that only they can read."""
    topic = stage.topic("shared")
    stage.ledger.produce(topic, [b"no JSON"])

    def failed() -> dict[str, dict[str, Any]]:
        found = client.get(f"/v1/failures?topic={topic}")
        assert len(found) == 2
        return {body["agent"].rpartition(".")[2]: body for body in found}

    failures = eventually(failed, timeout=30)
    with stage.mended:
        told = client.post(f"/v1/failures/{failures['right']['id']}/retry")
    assert told["acknowledged"]
    [event] = client.get(f"/v1/events?topic={topic}")
    assert (event["entity_id"], event["event_type"]) == ("no JSON", "right")
    assert client.get(f"/v1/failures/{failures['left']['id']}")["status"] == "open"


@pytest.mark.parametrize(
    "query",
    [
        *(f"limit={limit}" for limit in ("-1", "0", str(10**9), str(2**63), "abc", "NaN")),
        *(f"offset={offset}" for offset in ("-1", str(10**9), str(2**63), "abc", "NaN")),
        *(f"cursor={cursor}" for cursor in ("abc", "0" * 33, "f" * 32)),
    ],
)
def test_a_page_that_cannot_be_meant_is_refused(client: Client, query: str) -> None:
    """X17, A4: with a sentence that says what to write."""
    for subject in ("events", "failures"):
        told = client.get(f"/v1/{subject}?{query}", status=400)
        assert f"{query.partition('=')[0]} cannot be used: write " in told["message"]


def logged(stage: Stage, request_id: str) -> str:
    """Return the line of the log that tells of a request."""
    named = f"request_id={request_id}"
    [line] = [line for line in stage.workers[0].output.splitlines() if named in line]
    return line
