"""Each request is one line, which says who, what, how and how long, and no secret."""

import logging

import pytest
from aiohttp.web import Request, Response
from yarl import URL

from tests.web.serving import FULL, TOKENS, bearer, serving


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Return what is logged, requests that went well included."""
    caplog.set_level(logging.INFO, "app.web")
    return caplog


def lines(log: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the lines of requests."""
    return [record for record in log.records if record.name == "app.web"]


async def test_a_request_is_one_line(log: pytest.LogCaptureFixture) -> None:
    """Its fields stand in the text, and beside it for whoever reads them as data."""
    async with serving(tokens=TOKENS) as served:
        headers = bearer(FULL) | {"X-Request-Id": "mine", "X-Forwarded-For": "10.9.8.7"}
        async with served.client.get("/v1/me?limit=3", headers=headers) as response:
            size = response.content_length
    [line] = lines(log)
    fields = vars(line)
    assert line.levelno == logging.INFO
    assert fields["remote_address"] == "127.0.0.1"
    assert fields["forwarded_for"] == "10.9.8.7"
    assert fields["remote_user"] == "ops"
    assert fields["request_method"] == "GET"
    assert fields["path"] == "/v1/me?limit=3 HTTP/1.1"
    assert (fields["status"], fields["content_length"]) == ("200", size)
    assert fields["request_id"] == "mine"
    assert fields["request_time"].endswith("s")
    assert float(fields["request_time"][:-1]) < 60
    text = line.getMessage()
    assert text.startswith("web.request remote_address=127.0.0.1 forwarded_for=10.9.8.7")
    assert " remote_user=ops request_method=GET path=/v1/me?limit=3 HTTP/1.1 status=200 " in text


async def test_nothing_is_said_of_what_there_is_not(log: pytest.LogCaptureFixture) -> None:
    """No user, no proxy and no content have no value."""

    async def empty(_: Request) -> Response:
        return Response()

    async with serving(tokens=TOKENS, views={"/empty": empty}) as served:
        async with served.client.get("/empty"):
            pass
        async with served.client.get("/empty", headers=bearer(FULL)):
            pass
    refused, answered = lines(log)
    assert vars(refused)["remote_user"] is None
    assert vars(refused)["forwarded_for"] is None
    assert vars(refused)["status"] == "401"
    assert vars(answered)["content_length"] is None


async def test_a_bug_is_an_error_with_its_stack(log: pytest.LogCaptureFixture) -> None:
    """Whoever has the id finds out what happened; passwords and tokens are left out."""

    async def bug(_: Request) -> Response:
        msg = f"postgresql://me:s3cret@host/name {FULL} email='ann@example.com'\nforged line"
        raise RuntimeError(msg)

    async with (
        serving(views={"/bug2": bug}, tokens=TOKENS, masked=["email"]) as served,
        served.client.get("/bug2", headers=bearer(FULL)) as response,
    ):
        told = await response.json()
    [line] = lines(log)
    fields, text = vars(line), line.getMessage()
    assert line.levelno == logging.ERROR
    assert fields["exception_class"] == "RuntimeError"
    assert "host/name" in fields["exception_message"]
    assert any("in bug" in entry for entry in fields["backtrace"])
    assert fields["request_id"] == told["request_id"]
    assert "\n" not in text
    for secret in ("s3cret", FULL, "ann@example.com"):
        assert secret not in text
        assert secret not in repr(fields)


@pytest.mark.parametrize("path", ["/not-found", "/conflict", "/handler", "/nowhere"])
async def test_what_the_caller_has_to_answer_for_is_no_error(
    path: str, log: pytest.LogCaptureFixture
) -> None:
    """Nobody is woken up for it."""
    async with serving() as served, served.client.get(path):
        pass
    [line] = lines(log)
    assert line.levelno == logging.INFO
    assert "exception_class" not in vars(line)


async def test_a_path_tells_no_secret(log: pytest.LogCaptureFixture) -> None:
    """Neither a token that was put there, nor what a masked parameter says; and it is one line."""
    async with serving(tokens=TOKENS, masked=["entity_id"]) as served:
        for query in (f"token={FULL}", "entity%5Fid=ann", "ENTITY_ID=ann&x=ann%0Aforged", "&="):
            url = URL(f"/v1/me?{query}", encoded=True)
            async with served.client.get(url, headers=bearer(FULL)):
                pass
    paths = [vars(line)["path"].split()[0] for line in lines(log)]
    assert paths == [
        "/v1/me?token=***",
        "/v1/me?entity%5Fid=***",
        "/v1/me?ENTITY_ID=***&x=ann%0Aforged",
        "/v1/me?&=",
    ]


async def test_what_others_send_ends_no_line(log: pytest.LogCaptureFixture) -> None:
    """Nothing that would forge a line, or move a terminal's cursor, is written as it is."""
    async with serving() as served:
        sent = b"GET /ping HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: \xc2\x9b2J%s\r\n" % (b"x" * 999)
        await served.ask(sent + b"Connection: close\r\n\r\n")
    [line] = lines(log)
    text = line.getMessage()
    assert "\\x9b2J" in text
    assert "\x9b" not in text
    assert len(text) < 600


async def test_a_view_has_the_id_of_its_line(log: pytest.LogCaptureFixture) -> None:
    """What it does can be found by it, in the audit too."""
    async with serving() as served, served.client.get("/v1/me") as response:
        told = await response.json()
    [line] = lines(log)
    assert vars(line)["request_id"] == told["request_id"] == response.headers["X-Request-Id"]
