"""The API and the floor, each in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.polling import eventually
from tests.servers.machine import free_port

START_SECONDS = 30.0
ROOT = Path(__file__).parents[2]


@contextmanager
def serving_api(*, broker_url: str, database_url: str, log: Path) -> Iterator[int]:
    """Serve the API as the service does, apart from its agents; give its port."""
    port = free_port()
    settings = {
        "BROKER_URL": broker_url,
        "DATABASE_URL": database_url,
        "WEB_ONLY": "true",
        "WEB_PORT": str(port),
    }
    with _running("faust", "-A", "app", "worker", "-l", "info", log=log, settings=settings):
        _wait(port, "/ping")
        yield port


@contextmanager
def serving_floor(*, log: Path) -> Iterator[int]:
    """Serve constants; give the port."""
    port = free_port()
    with _running("benchmarks.api.floor", str(port), log=log, settings={}):
        _wait(port, "/1")
        yield port


@contextmanager
def _running(
    module: str, *arguments: str, log: Path, settings: Mapping[str, str]
) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield
    except Exception as error:
        error.add_note(f"the output of {module}:\n{log.read_text()[-4000:]}")
        raise
    finally:
        process.kill()
        process.wait()


def _wait(port: int, path: str) -> None:
    def it_answers() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", path)
            status = connection.getresponse().status
        except (OSError, HTTPException) as error:
            raise AssertionError(path) from error
        finally:
            connection.close()
        assert status == 200

    eventually(it_answers, timeout=START_SECONDS)
