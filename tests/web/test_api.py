"""The views answer, and there are no others."""

from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application

from app.main import app


async def served() -> Application:
    """Return what a worker serves, with all its routes."""
    application: Application = await app.web.wsgi()
    return application


async def test_ping_answers_pong() -> None:
    """A health check gets PONG as plain text."""
    async with TestClient(TestServer(await served())) as client:
        response = await client.get("/ping")
        assert response.status == 200
        assert response.content_type == "text/plain"
        assert await response.text() == "PONG"


async def test_faust_shows_nothing_of_its_own() -> None:
    """Besides our views there is Faust's index, which says OK: no topics, tables or statistics."""
    routes = {resource.canonical for resource in (await served()).router.resources()}
    assert routes == {"/", "/ping"}
