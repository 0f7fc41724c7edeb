"""`uv run dev` from the first start to the last Ctrl-C, as a process of its own."""

import asyncio
import os
import re
import signal
import socket
import urllib.request
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import make_url

from app.agents.orders import process_order
from app.checkpoint.database import Database
from app.checkpoint.testing import process
from tests.checkout import ROOT, checkout
from tests.end_to_end.dev import LIMIT, dev, placed, some_placed
from tests.polling import eventually
from tests.servers import Kafka, PostgreSQL
from tests.servers.machine import free_port

ORDER = b'{"id": "mine", "type": "order_placed", "version": "1", "time": "2026-01-02T03:04:05Z"}'


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """Return a folder with the service in it and nothing else."""
    return checkout(tmp_path)


@pytest.fixture
def port() -> int:
    """Return a port for the web views."""
    return free_port()


def nobody_listens(port: int) -> None:
    """Assert that the worker is gone."""
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port))


def ping(port: int) -> tuple[int, str, bytes]:
    """Return status, type and body of what the worker answers, once it does."""

    def answered() -> tuple[int, str, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=LIMIT) as answer:
                return answer.status, answer.headers.get_content_type(), answer.read()
        except OSError as error:
            raise AssertionError from error

    return eventually(answered, timeout=LIMIT)


def test_orders_are_recorded_until_ctrl_c_and_again(service: Path, port: int) -> None:
    """Two starts one after the other work, say nothing of errors and leave one file behind."""
    before = set(service.iterdir())
    with dev(service, port) as first:
        orders = some_placed(service)
        assert ping(port) == (200, "text/plain", b"PONG")
        assert first.end(os.killpg, signal.SIGINT) == 0
        eventually(lambda: nobody_listens(port))
        assert_well(first.output)
        assert f"http://127.0.0.1:{port}/v1/docs" in first.output
        assert "sqlite:///service.db" in first.output
    assert {path.name for path in set(service.iterdir()) - before} == {"service.db", "dev.log"}
    with dev(service, port) as second:
        second.says("Ctrl-C ends all of it")
        # The broker begins anew, and so does what is recorded of it.
        assert placed(service).isdisjoint(orders)
        some_placed(service)
        assert second.end(os.kill, signal.SIGINT) == 0
        assert_well(second.output)


def test_it_ends_in_order_at_any_moment(service: Path, port: int) -> None:
    """A signal that comes before the worker is ready ends everything just as well."""
    with dev(service, port) as running:
        assert ping(port)
        assert running.end(os.kill, signal.SIGTERM) == 0
        nobody_listens(port)
        # Not `assert_well`: the Kafka client may say that it cannot leave a group half joined.
        assert "Traceback" not in running.output


def test_the_worker_does_not_outlive_it(service: Path, port: int) -> None:
    """However dev mode ends, here by SIGKILL and its broker with it, its worker ends too."""
    with dev(service, port) as running:
        # There are offsets to commit, and nobody takes them any more.
        assert some_placed(service)
        assert running.end(os.kill, signal.SIGKILL) == -signal.SIGKILL
        eventually(lambda: nobody_listens(port), timeout=LIMIT)


def test_it_ends_with_its_worker(service: Path, port: int) -> None:
    """A worker that refuses to start says why, and its status is that of the command."""
    orders = service / "app" / "agents" / "orders.py"
    orders.write_text(
        orders.read_text().replace('value_serializer="raw"', 'value_serializer="json"')
    )
    with dev(service, port) as running:
        assert running.process.wait(LIMIT) == 1
        assert "The worker does not start: " in running.output
        assert "write value_serializer='raw'" in running.output
        assert running.output.endswith("The worker ended with status 1.\n")


def test_real_servers_are_used_and_kept(
    service: Path, port: int, kafka: Kafka, postgresql_url: str, postgresql: PostgreSQL
) -> None:
    """Orders go through Kafka into PostgreSQL, and what is recorded there already stays."""
    asyncio.run(record_mine(postgresql_url))
    name = make_url(postgresql_url).database
    chosen = {"BROKER_URL": kafka.broker_url, "DATABASE_URL": postgresql_url}

    def recorded() -> None:
        count = "SELECT count(*), count(*) FILTER (WHERE entity_id = 'mine') FROM checkpoint_events"
        [(events, mine)] = postgresql.execute(count, database=name)
        assert (events > 1, mine) == (True, 1)  # type: ignore[operator]

    with dev(service, port, **chosen) as running:
        eventually(recorded, timeout=LIMIT)
        assert running.end(os.kill, signal.SIGINT) == 0
        assert_well(running.output)
        assert kafka.broker_url in running.output
        assert make_url(postgresql_url).render_as_string() in running.output
        assert str(make_url(postgresql_url).password) not in running.output
    assert not (service / "service.db").exists()


def assert_well(output: str) -> None:
    """Assert that nothing was printed that would worry anybody."""
    assert not re.search(r"(?i)error|traceback|exception|warning|critical|never retrieved", output)


async def record_mine(url: str) -> None:
    """Migrate a database and record one order in it."""
    config = Config(toml_file=ROOT / "pyproject.toml")
    config.attributes["database_url"] = url
    await asyncio.to_thread(command.upgrade, config, "head")
    database = Database(url)
    await process(process_order, ORDER, into=database)
    await database.close()
