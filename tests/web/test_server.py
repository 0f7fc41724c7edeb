"""Every answer is safe to show, every error has the same form, and nobody keeps a connection."""

import asyncio
import json
from pathlib import Path
from typing import Any

import faust
import pytest
from aiohttp.web import Request, Response
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.web.intake import MAX_BODY
from app.web.masking import Mask
from app.web.params import BadRequestError
from app.web.security import Handler
from app.web.server import PATIENCE, WebServer
from tests.checkout import ROOT, run
from tests.checkpoint.mock_kafka import MockKafka
from tests.polling import eventually_async
from tests.web.serving import FULL, JSON, RAISED, READ, TOKENS, Served, bearer, serving

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
LOST = DBAPIError.instance(None, None, OSError("s3cret"), OSError)
DOUBLE = IntegrityError("INSERT", None, ValueError("s3cret"))
SLOW: dict[str, tuple[bytes, ...]] = {
    "silent": (),
    "half a line": (b"GET /pi",),
    "half the headers": (b"GET /ping HTTP/1.1\r\nHost: localhost\r\n",),
    "half a body": (
        b"POST /v1/me HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n",
        b"Content-Length: 100\r\n\r\n{",
    ),
    "half a body to a stranger": (
        b"POST /v1/me HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 100\r\n\r\n{",
    ),
    "a body that a GET has no use for": (
        b"GET /ping HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
    ),
    "idle after its answer": (b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n",),
}
BAD = {
    "no HTTP": b"\x16\x03\x01 hello\r\n\r\n",
    "a long header": b"GET /ping HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n" % (b"s3cret" * 4000),
    "a long path": b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"s3cret" * 4000),
    "many headers": b"GET /ping HTTP/1.1\r\n%s\r\n" % (b"X: s3cret\r\n" * 5000),
    "two lengths": b"POST /v1/me HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "bad chunks": b"POST /v1/me HTTP/1.1\r\nTransfer-Encoding: s3cret\r\n\r\n",
}


def raising(error: Exception) -> Handler:
    """Return a view that raises."""

    async def view(_: Request) -> Response:
        raise error

    return view


async def test_every_answer_says_how_it_may_be_used() -> None:
    """Good and bad ones alike: not stored, not framed, not sniffed, and with no version."""
    async with serving(tokens=TOKENS) as served:
        for path, status in (("/ping", 200), ("/v1/me", 401), ("/bug", 401), ("/x", 401)):
            async with served.client.get(path) as response:
                assert response.status == status
                assert HEADERS.items() <= dict(response.headers).items()
                assert response.headers["Server"] == "service"


async def test_a_view_has_its_own_policy() -> None:
    """A page for people may say what it loads; all else stays."""

    async def page(_: Request) -> Response:
        return Response(text="", headers={"Content-Security-Policy": "default-src 'self'"})

    async with serving(views={"/page": page}) as served, served.client.get("/page") as response:
        assert response.headers.getall("Content-Security-Policy") == ["default-src 'self'"]
        assert response.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/nowhere", 404, {"message": "not found"}),
        ("/not-found", 404, {"message": "no such failure"}),
        ("/conflict", 409, {"message": "it is being retried", "status": "retrying"}),
        (
            "/handler",
            422,
            {"message": "card 4111 was declined", "error_class": "shop.DeclinedError"},
        ),
        ("/replay", 422, {"message": "there is no agent of that name"}),
        ("/bad", 400, {"message": "write limit once"}),
        ("/lost", 503, {"message": "the database does not answer: try again"}),
        ("/locked", 503, {"message": "the database does not answer: try again"}),
        ("/busy", 503, {"message": "the database does not answer: try again"}),
        ("/double", 500, {"message": "internal error"}),
        ("/bug", 500, {"message": "internal error"}),
    ],
)
async def test_an_error_is_told_as_json(path: str, status: int, told: dict[str, Any]) -> None:
    """The engine's sentences are passed on; of all else there is only an id."""
    views = {
        "/bad": raising(BadRequestError("write limit once")),
        "/lost": raising(LOST),
        "/locked": raising(OperationalError("SELECT", None, ValueError("s3cret"))),
        "/busy": raising(PoolTimeoutError("s3cret")),
        "/double": raising(DOUBLE),
    }
    async with (
        serving(views=views) as served,
        served.client.get(path, headers={"X-Request-Id": "mine-1"}) as response,
    ):
        assert response.status == status
        assert response.content_type == "application/json"
        assert await response.json() == {"error": True, "request_id": "mine-1", **told}
        assert response.headers["X-Request-Id"] == "mine-1"


async def test_a_method_that_there_is_not_is_told_which_there_are() -> None:
    """The answer lists them."""
    async with serving(tokens=TOKENS) as served:
        for method in ("PUT", "PATCH", "OPTIONS", "TRACE"):
            async with served.client.request(method, "/v1/me", headers=bearer(FULL)) as response:
                assert response.status == 405
                assert (await response.json())["message"] == "method not allowed"
                assert response.headers["Allow"] == "DELETE,GET,HEAD,POST"


@pytest.mark.parametrize("sent", ["", "a b", "x" * 65, "\xe9", "<script>"])
async def test_an_id_that_is_not_sane_is_not_repeated(sent: str) -> None:
    """Then the request gets one of ours, another each time."""
    async with serving() as served:
        ids = set()
        for _ in range(2):
            async with served.client.get("/v1/me", headers={"X-Request-Id": sent}) as response:
                ids.add(response.headers["X-Request-Id"])
                assert (await response.json())["request_id"] in ids
    assert len(ids) == 2
    assert sent not in ids


async def test_masked_services_hide_what_a_handler_says() -> None:
    """Nobody knows here which part of it came out of a masked field."""
    async with serving(masked=["card"]) as served, served.client.get("/handler") as response:
        told = await response.json()
    assert "4111" not in json.dumps(told)
    assert told["error_class"] == "shop.DeclinedError"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 200),
        (b"{}", "application/json; charset=utf-8", 200),
        (b"", "application/json", 200),
        (b"{}", "text/plain", 415),
        (b"{}", "application/jsonp", 415),
        (b"x" * MAX_BODY, "application/json", 200),
        (b"x" * (MAX_BODY + 1), "application/json", 413),
    ],
)
async def test_a_body_is_small_and_json(body: bytes, content_type: str, status: int) -> None:
    """Anything else is refused before a view sees it."""
    async with serving(tokens=TOKENS) as served:
        headers = bearer(FULL) | {"Content-Type": content_type}
        async with served.client.post("/v1/me", data=body, headers=headers) as response:
            assert response.status == status
            told = await response.json()
    assert told.get("error") is (None if status == 200 else True)
    assert status != 200 or told["size"] == len(body)


async def test_a_body_of_unknown_size_is_small_too() -> None:
    """What comes in pieces is counted as it comes; nothing is unpacked."""

    async def pieces() -> Any:
        for _ in range(20):
            yield b"x" * 8192

    async with serving(tokens=TOKENS) as served:
        headers = bearer(FULL) | JSON
        async with served.client.post("/v1/me", data=pieces(), headers=headers) as response:
            assert response.status == 413
        headers |= {"Content-Encoding": "gzip"}
        async with served.client.post("/v1/me", data=b"\x1f\x8b", headers=headers) as response:
            assert (await response.json())["size"] == 2


@pytest.mark.parametrize("parts", SLOW.values(), ids=SLOW)
async def test_who_is_slow_is_hung_up_on(parts: tuple[bytes, ...]) -> None:
    """A hundred that wait for nothing are gone when our patience ends; others are answered."""
    async with serving(patience=0.5) as served:
        slow = [await served.connect(sent=b"".join(parts)) for _ in range(100)]
        async with served.client.get("/ping") as response:
            assert response.status == 200
        async with asyncio.timeout(10):
            await asyncio.gather(*(reader.read() for reader, _ in slow))
        for _, writer in slow:
            writer.close()


async def test_a_drip_does_not_count_as_speech() -> None:
    """A header that comes letter by letter is hung up on as if nothing came."""
    async with serving(patience=0.5) as served:
        reader, writer = await served.connect(sent=b"GET /ping HTTP/1.1\r\nX: ")

        async def closed() -> None:
            writer.write(b"x")
            assert reader.at_eof()

        reading = asyncio.create_task(reader.read())
        await eventually_async(closed, timeout=10)
        await asyncio.wait([reading])
        writer.close()


async def test_a_late_body_is_told_so() -> None:
    """Whoever is merely slow learns why nobody listens any more."""
    async with serving(patience=0.5) as served:
        answer = await served.ask(b"".join(SLOW["half a body"]))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the body did not arrive in time" in answer


async def test_who_does_not_read_is_hung_up_on() -> None:
    """An answer that nobody takes is not kept in memory for ever."""

    async def much(_: Request) -> Response:
        return Response(body=b"x" * 50_000_000)

    async with serving(patience=0.5, views={"/much": much}) as served:
        _, writer = await served.connect(sent=b"GET /much HTTP/1.1\r\nHost: localhost\r\n\r\n")

        async def gone() -> None:
            assert served.connections == 0

        await eventually_async(gone, timeout=10)
        writer.close()


def test_the_usual_patience_is_short() -> None:
    """Fifteen seconds is what a connection may cost us, the rest of a body included."""
    assert PATIENCE < 14


@pytest.mark.parametrize("sent", BAD.values(), ids=BAD)
async def test_what_is_no_http_is_told_so(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It gets the headers of any answer, and is one line of the log, with no traceback."""
    caplog.set_level("INFO")
    async with serving() as served:
        head, _, body = (await served.ask(sent)).partition(b"\r\n\r\n")
    assert b" 400 " in head
    assert b"Server: service\r\n" in head
    assert b"Cache-Control: no-store\r\n" in head
    told = json.loads(body)
    assert (told["error"], told["message"]) == (True, "bad request")
    loggers = ("app.web", "aiohttp.server")
    [line] = [record for record in caplog.records if record.name in loggers]
    assert (line.levelname, line.exc_info) == ("INFO", None)
    assert f"request_id={told['request_id']}" in line.getMessage()
    assert "s3cret" not in caplog.text


async def test_an_unknown_expectation_is_an_error_like_others() -> None:
    """It ends before any view, and tells nothing of what we are."""
    async with serving() as served, served.client.get("/ping", headers={"Expect": "x"}) as response:
        assert response.status == 417
        assert (await response.json())["error"] is True


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.1", "service.example"])  # noqa: S104 - the case
async def test_others_may_not_reach_it_without_tokens(address: str) -> None:
    """A worker that anybody could command does not start, and says what to write."""
    app = faust.App("test", broker="kafka://nowhere", web_bind=address)
    server = WebServer(app, tokens={}, mask=Mask())
    with pytest.raises(SystemExit, match="set API_TOKENS"):
        await server.start_server()


def test_a_worker_that_all_could_command_does_not_start(tmp_path: Path) -> None:
    """Wherever it was told to listen: the last that is printed is why not, and what to write."""
    with MockKafka() as kafka:
        settings = {
            "BROKER_URL": f"kafka://{kafka.bootstrap}",
            "DATABASE_URL": f"sqlite:///{tmp_path / 'service.db'}",
            "FAUST_DATADIR": str(tmp_path),
            "TOPIC_ALLOW_DECLARE": "false",
        }
        run(ROOT, "alembic", "upgrade", "head", **settings)
        worker = run(ROOT, "faust", "-A", "app", "worker", "-b", "0.0.0.0", **settings)  # noqa: S104 - the case
    assert worker.returncode == 1
    assert worker.stderr.splitlines()[-1] == (
        "The worker does not start: whoever reaches 0.0.0.0 could do anything; set API_TOKENS, or"
        " listen on 127.0.0.1"
    )
    assert "Traceback" not in worker.stdout + worker.stderr


async def test_others_may_reach_it_with_tokens() -> None:
    """Then it is up to the tokens who is answered."""
    async with serving(tokens=TOKENS, bind="0.0.0.0") as served:  # noqa: S104 - the case
        async with served.client.get("/v1/me") as response:
            assert response.status == 401
        async with served.client.get("/v1/me", headers=bearer(READ)) as response:
            assert response.status == 200


async def test_no_error_is_told_with_its_secrets() -> None:
    """Whatever a bug has in its text, whoever asked reads an id."""
    async with serving() as served:
        await _read_nothing_of(served, "s3cret")


async def _read_nothing_of(served: Served, secret: str) -> None:
    for path in RAISED:
        async with served.client.get(path) as response:
            assert secret not in await response.text()
