"""Every route of the service is behind the door, also one that is added tomorrow."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.checkout import ROOT, environment

FULL, READ = "full-" + "f" * 32, "read-" + "r" * 32
OPENED = ("/health/live", "/health/ready", "/ping")
"""What everybody may read."""
METHODS = ("GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE")
STRANGERS = {
    "none": None,
    "empty": "",
    "wrong": "Bearer " + "w" * 40,
    "prefix": f"Bearer {FULL[:-1]}",
    "other scheme": f"Basic {FULL}",
    "no scheme": FULL,
}
SHAPES = ("{}", "/{}", "{}/", "{};a", "/.{}", "/%2e{}", "/x/..{}", "{}%00", "{}?a=1")


class Running:
    """The service in a process of its own."""

    def __init__(self, port: int, routes: list[tuple[str, str]]) -> None:
        self.paths = sorted({re.sub(r"\{\w+\}", "1", path) for _, path in routes})
        self.connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def status(self, method: str, path: str, credentials: str | None) -> int:
        """Ask for a path exactly as it stands here."""
        headers = {"Content-Type": "application/json"}
        if credentials is not None:
            headers["Authorization"] = credentials
        self.connection.request(method, path, headers=headers)
        response = self.connection.getresponse()
        response.read()
        return response.status


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run the service with two tokens."""
    folder: Path = tmp_path_factory.mktemp("service")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.web.serve"],
        cwd=ROOT,
        env=environment(
            API_TOKENS=f"ops:full:{FULL} dashboard:read:{READ}",
            DATABASE_URL=f"sqlite:///{folder / 'service.db'}",
            FAUST_DATADIR=str(folder),
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        running = Running(**json.loads(process.stdout.readline()))
        yield running
        running.connection.close()
        process.communicate()


@pytest.mark.parametrize("credentials", STRANGERS.values(), ids=STRANGERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_stranger_is_told_nothing(service: Running, shape: str, credentials: str | None) -> None:
    """Whatever route, method and way to write it: a token is needed, or there is too much asked."""
    opened = {shape.format(path) for path in OPENED} if shape in {"{}", "{}?a=1"} else set()
    answered = {
        (method, path): service.status(method, path, credentials)
        for path in map(shape.format, service.paths)
        for method in METHODS
        if not (path in opened and method in {"GET", "HEAD"})
    }
    assert {asked: status for asked, status in answered.items() if status not in {401, 429}} == {}


def test_a_reader_changes_nothing(service: Running) -> None:
    """A token to read is refused for every other method, on every route."""
    answered = {
        (method, path): service.status(method, path, f"Bearer {READ}")
        for path in service.paths
        for method in METHODS[2:]
    }
    assert set(answered.values()) == {403}


def test_there_is_something_behind_the_door(service: Running) -> None:
    """The routes that were asked for are there, and whoever has a token gets to them."""
    assert set(service.paths) > set(OPENED)
    assert service.status("GET", "/", f"Bearer {READ}") == 200
    assert service.status("GET", "/nowhere", f"Bearer {FULL}") == 404
    assert service.status("PUT", "/", f"Bearer {FULL}") == 405


@pytest.mark.parametrize("path", OPENED)
def test_everybody_may_ask_how_the_service_is(service: Running, path: str) -> None:
    """A health check has no token, and wrong ones do not matter to it."""
    for method in ("GET", "HEAD"):
        assert service.status(method, path, None) in {200, 503}
        assert service.status(method, path, STRANGERS["wrong"]) in {200, 503}
