"""A worker that would lose events does not start, and says in one sentence why and what to do."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faust
import pytest

from app.checkpoint import Ack, Checkpoint, ConfigurationError, Metadata, ack
from app.checkpoint.startup import check

ROOT = Path(__file__).parents[2]
RAW = {"key_serializer": "raw", "value_serializer": "raw"}

MODULE = """
import faust
from app.checkpoint import Checkpoint

app = faust.App("service", broker="kafka://127.0.0.1:1", store="memory://", {settings})
checkpoint = Checkpoint({url!r})
checkpoint.install(app)
orders = app.topic("orders", key_serializer="raw", value_serializer={serializer!r})

@app.agent(orders)
@checkpoint()
async def process(payload, metadata): ...
"""


class Order(faust.Record):
    """What Faust itself would decode a value to."""

    id: str


class Service:
    """An app that could start; a test adds what must not be."""

    def __init__(self, **settings: Any) -> None:
        self.app = faust.App("service", store="memory://", **settings)
        self.checkpoint = Checkpoint("sqlite:///:memory:")
        self.checkpoint.install(self.app)

    def agent(self, topic: Any, **options: Any) -> None:
        """Add a checkpointed agent."""

        @self.app.agent(topic, **options)
        @self.checkpoint()
        async def process(payload: Any, _: Metadata) -> Ack:
            return ack(payload["id"], 0)

    def topic(self, *names: str, **options: Any) -> Any:
        """Return a topic that is raw unless told otherwise."""
        return self.app.topic(*names, **{**RAW, **options})

    def plain(self, topic: Any) -> None:
        """Add an agent that Faust feeds."""

        @self.app.agent(topic, name="plain")
        async def read(stream: faust.StreamT[Any]) -> None:
            async for _ in stream:
                pass


def decodes_values(service: Service) -> None:
    """Leave the value to a serializer."""
    service.agent(service.topic("orders", value_serializer="json"))


def decodes_values_by_default(service: Service) -> None:
    """Leave the value to the app's default, which is JSON."""
    service.agent(service.app.topic("orders", key_serializer="raw"))


def decodes_keys(service: Service) -> None:
    """Leave the key to a serializer."""
    service.agent(service.topic("orders", key_serializer="json"))


def has_a_value_type(service: Service) -> None:
    """Have Faust make a record of the value."""
    service.agent(service.topic("orders", value_type=Order))


def has_a_key_type(service: Service) -> None:
    """Have Faust make text of the key."""
    service.agent(service.topic("orders", key_type=str))


def is_concurrent(service: Service) -> None:
    """Give up order."""
    service.agent(service.topic("orders"), concurrency=2)


def isolates_partitions(service: Service) -> None:
    """Ask Faust for an agent a partition."""
    service.agent(service.topic("orders"), isolated_partitions=True)


def has_a_sink(service: Service) -> None:
    """Have results sent after they are recorded."""
    service.agent(service.topic("orders"), sink=[service.topic("results")])


def reads_a_channel(service: Service) -> None:
    """Read what Kafka does not keep."""
    service.agent(service.app.channel())


def shares_its_topic(service: Service) -> None:
    """Have an agent beside it that Faust acknowledges for."""
    service.agent(service.topic("payments", "orders"))
    service.plain(service.topic("orders"))


@pytest.mark.parametrize(
    ("wrong", "why", "instead"),
    [
        (decodes_values, "the value of .* is decoded before", "value_serializer='raw'"),
        (decodes_values_by_default, "the value of .* is decoded before", "value_serializer='raw'"),
        (has_a_value_type, "the value of .* is decoded before", "value_serializer='raw'"),
        (decodes_keys, "the key of .* is decoded before", "key_serializer='raw'"),
        (has_a_key_type, "the key of .* is decoded before", "key_serializer='raw'"),
        (is_concurrent, "has concurrency=2", "add partitions"),
        (isolates_partitions, "has isolated_partitions", "partitions have lanes anyway"),
        (has_a_sink, "has a sink", "send from the handler"),
        (reads_a_channel, "reads no named topic", r"app\.topic\('orders'"),
        (shares_its_topic, "the plain agent plain shares topic orders", "decorate plain"),
    ],
)
def test_an_agent_that_would_lose_events_is_refused(
    wrong: Callable[[Service], None], why: str, instead: str
) -> None:
    """The sentence names the agent, the reason and what to write."""
    service = Service()
    wrong(service)
    with pytest.raises(ConfigurationError, match=f"{why}.*; .*{instead}"):
        check(service.app, service.checkpoint)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"stream_wait_empty": False}, "stream_wait_empty=False"),
        ({"processing_guarantee": "exactly_once"}, "Kafka transactions"),
    ],
)
def test_an_app_that_would_lose_events_is_refused(settings: dict[str, Any], why: str) -> None:
    """Settings of Faust that our guarantees cannot be kept under."""
    service = Service(**settings)
    service.agent(service.topic("orders"))
    with pytest.raises(ConfigurationError, match=f"{why}.*; remove"):
        check(service.app, service.checkpoint)


def test_an_app_that_loses_nothing_passes() -> None:
    """Several topics, two agents on one, app-wide serializers, and a plain agent beside."""
    service = Service(**RAW)
    service.agent(service.app.topic("orders", "payments"), name="one")
    service.agent(service.app.topic("orders", value_type=bytes), name="two")
    service.plain(service.topic("others", value_serializer="json"))
    check(service.app, service.checkpoint)


def worker(
    folder: Path, *, url: str = "sqlite:///service.db", settings: str = "", serializer: str = "raw"
) -> str:
    """Run a worker that is refused, and return what it says."""
    module = MODULE.format(url=url, settings=settings, serializer=serializer)
    (folder / "refused.py").write_text(module)
    command = [sys.executable, "-m", "faust", "-A", "refused", "worker", "--without-web"]
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    output = result.stdout + result.stderr
    assert result.returncode == 1, output
    assert "Traceback" not in output
    [sentence] = re.findall(r"The worker does not start: (.*)", output)
    return str(sentence)


def test_a_refused_agent_ends_the_worker_with_a_sentence(tmp_path: Path) -> None:
    """Not with a traceback, and with a status that a supervisor sees."""
    assert "value_serializer='raw'" in worker(tmp_path, serializer="json")


def test_a_missing_schema_ends_the_worker_with_the_command_to_run(tmp_path: Path) -> None:
    """Whoever forgot to migrate is told how."""
    said = worker(tmp_path)
    assert said == (
        "the database lacks the table checkpoint_events: run `uv run alembic upgrade head`"
    )
