"""The service as a whole, without any server: its tables, and an event from Kafka to HTTP."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config

from tests.checkout import ROOT, checkout, environment
from tests.polling import eventually

LIMIT = 60.0
"""Seconds in which anything must have happened on a machine that has other things to do."""


class Dev:
    """Dev mode in a folder, with its web views."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port: int = server.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.dev"],
            cwd=folder,
            env=environment(WEB_PORT=str(self.port)),
            stdin=subprocess.DEVNULL,
        )

    def get(self, path: str) -> Any:
        """Return the JSON that is answered at once."""
        if self.process.poll() is not None:
            pytest.fail("dev mode ended, and printed why")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
                return json.load(answer)
        except OSError as error:
            raise AssertionError from error


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    """Run dev mode on a copy of the service, and leave nothing running."""
    running = Dev(checkout(tmp_path))
    yield running
    running.process.terminate()
    running.process.wait(LIMIT)


def test_migrations_make_what_the_models_say(tmp_path: Path) -> None:
    """Alembic finds nothing to do, also after every step was taken back."""
    database = {"database_url": f"sqlite:///{tmp_path / 'service.db'}"}
    config = Config(toml_file=ROOT / "pyproject.toml", attributes=database)
    command.upgrade(config, "head")
    command.check(config)
    command.downgrade(config, "base")
    command.upgrade(config, "head")
    command.check(config)


def test_an_event_is_recorded_and_served_over_http(dev: Dev) -> None:
    """What a producer sends to the topic can be read from the API, and Ctrl-C ends it all well."""

    def recorded() -> dict[str, Any]:
        events: list[dict[str, Any]] = dev.get("/v1/events")
        assert events
        return events[0]

    listed = eventually(recorded, timeout=LIMIT)
    event = dev.get(f"/v1/events/{listed['id']}")
    assert event["payload"]["id"] == event["entity_id"]
    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(LIMIT) == 0
