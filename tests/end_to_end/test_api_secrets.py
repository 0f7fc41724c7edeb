"""Whatever a worker is asked and whatever goes wrong, it tells no secret, and its log neither."""

from sqlalchemy import make_url, select, update

from app.checkpoint.models import EventRow, FailureRow
from tests.end_to_end.client import Answer, Client
from tests.end_to_end.stage import Stage
from tests.end_to_end.worker import Worker
from tests.polling import eventually
from tests.servers import PostgreSQL

TOKEN = "token-" + "t" * 32
PASSWORD = "p4ssw0rd-of-the-database"  # noqa: S105 - it opens nothing
PERSON = "anna.person@example.com"
SCRIPT = "<script>alert(1)</script>"


def start(stage: Stage) -> Worker:
    """Start a worker that has secrets to keep."""
    url = make_url(stage.database_url).set(password=PASSWORD)
    return stage.start(
        web=True,
        API_TOKEN=TOKEN,
        DATABASE_URL=url.render_as_string(hide_password=False),
        MASKED_FIELDS="id",
    )


def ask_everything(client: Client, ids: dict[str, int]) -> dict[str, Answer]:
    """Return the answers of all routes that can be asked, with the ids of what there is."""
    answers = {}
    for path, methods in client.get("/v1/openapi.json")["paths"].items():
        if "get" in methods:
            subject = path.removeprefix("/v1/").partition("/")[0]
            asked = path.replace("{id}", str(ids.get(subject, 0)))
            answers[asked] = client.ask("GET", asked)
    return answers


def test_no_secret_is_told(stage: Stage, postgresql: PostgreSQL) -> None:
    """A11: neither the database's password nor a token nor what is masked of a payload."""
    worker = start(stage)
    client = worker.client
    payload = {"id": PERSON, "note": SCRIPT}
    [failure_id] = stage.settle("undone", payload, as_=FailureRow)
    [event_id] = stage.settle("anything", payload, as_=EventRow)
    path = f"/v1/failures/{failure_id}"
    told = [
        client.ask("POST", f"{path}/retry"),
        client.ask("POST", f"{path}/retry", {"dry_run": True}),
        client.ask("POST", f"{path}/retry", {"payload": {"id": PERSON, "note": 1}}),
        client.ask("GET", f"/v1/events?token={TOKEN}"),
        client.ask("GET", "/v1/events?limit=abc"),
        Client(client.port, token=TOKEN[1:]).ask("GET", "/v1/events"),
    ]
    assert [answer.status for answer in told] == [422, 200, 422, 400, 400, 401]
    operation = client.post("/v1/failures/retry", {"ids": [failure_id]}, status=202)["id"]

    def ended() -> None:
        assert client.get(f"/v1/operations/{operation}")["status"] != "running"

    eventually(ended, timeout=30)
    ids = {"failures": failure_id, "events": event_id, "operations": operation}
    good = ask_everything(client, ids)
    assert {answer.status for answer in good.values()} == {200}
    assert good[path].json["error_message"] == "***"
    by_id = FailureRow.id == failure_id
    [[origin]] = stage.fetch(select(FailureRow.origin).where(by_id))
    stage.execute(update(FailureRow).where(by_id).values(origin="{}"))
    broken = client.ask("GET", path)
    stage.execute(update(FailureRow).where(by_id).values(origin=origin))
    postgresql.stop()
    lost = client.ask("GET", path)
    assert (broken.status, lost.status) == (500, 503)
    answers = [*told, *good.values(), broken, lost]
    for secret in (TOKEN, PASSWORD, PERSON):
        assert not [answer for answer in answers if secret.encode() in answer.body]
        assert secret not in worker.output
    check_how_scripts_are_told(good[path])


def check_how_scripts_are_told(answer: Answer) -> None:
    """A7: as JSON that no browser takes for anything else."""
    assert answer.json["payload"]["note"] == SCRIPT
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
