"""Brokers go, come back and cannot be reached: workers stay, and go on where they were."""

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import orjson
import pytest

from tests.checkpoint.mock_kafka import MockKafka
from tests.checkpoint.service import Log, Service
from tests.end_to_end.stage import Stage
from tests.faults.fallible import RECOVERY_LIMIT
from tests.faults.proxy import Proxy
from tests.faults.report import note
from tests.faults.traffic import SECONDS, Traffic
from tests.polling import eventually, eventually_async
from tests.servers import Kafka
from tests.servers.machine import free_port

MORE = 40
"""Events that come in while the broker cannot be reached, or right after."""
full = partial(pytest.param, marks=[pytest.mark.full, pytest.mark.timeout(300)])


class ProxiedKafka(Kafka):
    """Apache Kafka with a second address, which leads to it through a proxy."""

    def __init__(self) -> None:
        super().__init__()
        self._inner_port = free_port()
        self.proxy = Proxy(self._inner_port)

    def _settings(self) -> dict[str, str]:
        settings = super()._settings()
        for name, port in (
            ("listeners", self._inner_port),
            ("advertised.listeners", self.proxy.port),
        ):
            settings[name] += f",PROXIED://127.0.0.1:{port}"
        settings["listener.security.protocol.map"] += ",PROXIED:PLAINTEXT"
        return settings


@pytest.fixture(scope="module")
def kafka(kafka: Kafka) -> Iterator[ProxiedKafka]:
    """Run a broker for these tests alone; where there is none for others, there is none here."""
    assert kafka.running
    own = ProxiedKafka()
    with own.proxy, own:
        yield own


def produce_more(stage: Stage) -> None:
    """Produce some events to each agent."""
    first = len(stage.ledger.entries)
    for agent in ("plain", "transactional"):
        values = [
            orjson.dumps({"id": f"{agent}-{number}", "seconds": SECONDS})
            for number in range(first, first + MORE)
        ]
        stage.ledger.produce(stage.topic(agent), values)


def wait(seconds: float) -> None:
    """Let a fault last so long."""
    until = time.monotonic() + seconds

    def over() -> None:
        assert time.monotonic() >= until

    eventually(over, timeout=seconds + 10, interval=0.1)


def recover(stage: Stage, traffic: Traffic) -> None:
    """Produce more, and measure how long it takes until all is settled."""
    since = time.monotonic()
    produce_more(stage)
    stage.wait_until_settled(timeout=RECOVERY_LIMIT)
    traffic.recovery.append(time.monotonic() - since)


@pytest.mark.parametrize("seconds", [5, full(60)])
def test_a_broker_that_is_killed_costs_nothing(
    stage: Stage, kafka: ProxiedKafka, seconds: float
) -> None:
    """What the worker holds is settled meanwhile, and committed when the broker is back."""
    traffic = Traffic(stage)
    with traffic.frozen():
        kafka.kill()
    wait(seconds)
    kafka.start()
    recover(stage, traffic)
    traffic.finish("B1")


@pytest.mark.parametrize("seconds", [5, full(60)])
def test_a_broker_that_does_not_answer_costs_nothing(
    stage: Stage, kafka: ProxiedKafka, seconds: float
) -> None:
    """Connections stay, and nothing passes; the group gives the worker up, and takes it back."""
    traffic = Traffic(
        stage, BROKER_URL=f"kafka://127.0.0.1:{kafka.proxy.port}", SESSION_TIMEOUT="2"
    )
    with traffic.frozen():
        kafka.proxy.silence()
    produce_more(stage)
    wait(seconds)
    kafka.proxy.resume()
    recover(stage, traffic)
    traffic.finish("B2")


def test_connections_that_are_reset_cost_nothing(stage: Stage, kafka: ProxiedKafka) -> None:
    """Each time all of them, with events in flight."""
    traffic = Traffic(stage, BROKER_URL=f"kafka://127.0.0.1:{kafka.proxy.port}")
    for _ in range(3):
        with traffic.frozen():
            assert kafka.proxy.cut()
        traffic.until_more_is_recorded()
    recover(stage, traffic)
    traffic.finish("B3")


@pytest.mark.parametrize(
    ("quality", "value"), [("loss", 0.3), full("delay", 0.4), full("rate", 256_000 / 8)]
)
def test_a_broker_behind_a_bad_line_costs_nothing_but_time(
    stage: Stage, kafka: ProxiedKafka, quality: str, value: float
) -> None:
    """Each answer takes 400 ms, or 30 % of what is sent is lost, or the line has 256 kbit/s."""
    traffic = Traffic(stage, BROKER_URL=f"kafka://127.0.0.1:{kafka.proxy.port}")
    good = getattr(kafka.proxy, quality)
    with traffic.frozen():
        setattr(kafka.proxy, quality, value)
    try:
        recover(stage, traffic)
    finally:
        setattr(kafka.proxy, quality, good)
    traffic.finish("B4")


@pytest.mark.parametrize("move", [MockKafka.move_leader, MockKafka.move_coordinator])
async def test_whoever_leads_and_coordinates_may_change(
    sqlite_url: str, tmp_path: Path, move: Callable[..., None]
) -> None:
    """Fetches and commits follow, and each event is recorded once."""
    with MockKafka(brokers=2) as kafka:
        log = Log(kafka.bootstrap)
        log.produce(b"0", b"1")
        kafka.move_leader(log, broker=1)
        kafka.move_coordinator(log, broker=1)
        # Longer than the mock waits for more members before it forms a group: 3 s.
        service = Service(
            log, sqlite_url, tmp_path, broker_session_timeout=6, broker_heartbeat_interval=0.2
        )
        async with service.running():
            await service.wait_until_handled(0, 1)
            move(kafka, log, broker=2)
            log.produce(b"2", b"3")
            await service.wait_until_handled(0, 1, 2, 3)

            async def committed() -> None:
                assert await asyncio.to_thread(kafka.committed, log) == 4

            await eventually_async(committed, timeout=30)
            assert await service.recorded() == [0, 1, 2, 3]
    note("B6", injected=1, hit=1, events=4)
