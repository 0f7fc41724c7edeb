"""How long from an event's producer to its commit: `uv run python -m benchmarks.latency`."""

import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import orjson
from confluent_kafka import Producer

from benchmarks import tables
from benchmarks.orders import PARTITIONS, orders
from benchmarks.servers import started
from benchmarks.task import Task
from tests.end_to_end.worker import Worker
from tests.polling import eventually
from tests.servers import Kafka, PostgreSQL

WARM_UP_SECONDS = 5
"""Seconds, not counted, in which connections are opened and statements prepared."""
PERCENTILES = (50, 99, 99.9, 100)


class Latency:
    """Produces at even rates, each for a worker of its own."""

    def __init__(self, kafka: Kafka, postgresql: PostgreSQL, *, folder: Path) -> None:
        self._kafka = kafka
        self._postgresql = postgresql
        self._folder = folder

    def run(self, rate: int, seconds: int) -> list[float]:
        """Return the milliseconds that each event took."""
        events = rate * (WARM_UP_SECONDS + seconds)
        task = self._task(rate, events, tables.begin_empty(self._postgresql))
        self._kafka.create_topic(task.topic, PARTITIONS)
        log = self._folder / f"{rate}.log"
        worker = Worker("benchmarks.cases.latencies", log=log, environ=task.environment())
        try:
            worker.wait_until_ready()
            _produce(self._kafka.bootstrap, task.topic, rate, events)
            measured = _read(worker, Path(task.report).with_suffix(".latencies"))
        finally:
            worker.kill()
        # The worker has said so of itself; this is from outside.
        assert tables.rows(self._postgresql) == events
        return measured[rate * WARM_UP_SECONDS :]

    def _task(self, rate: int, events: int, url: str) -> Task:
        return Task(
            broker_url=self._kafka.broker_url,
            database_url=url,
            topic=f"orders-{rate}",
            group=f"latency-{rate}",
            events=events,
            report=str(self._folder / f"{rate}.json"),
        )


def _produce(bootstrap: str, topic: str, rate: int, events: int) -> None:
    """Produce each event when it is due, whatever became of those before."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    started = time.monotonic()
    for number, (key, value) in enumerate(orders(events)):
        time.sleep(max(0.0, started + number / rate - time.monotonic()))
        place = number % PARTITIONS
        now = str(time.time_ns())
        producer.produce(topic, value, key, partition=place, headers=[("produced", now)])
        producer.poll(0)
    producer.flush()


def _read(worker: Worker, path: Path) -> list[float]:
    def all_are_committed() -> list[float]:
        assert worker.running, worker.output
        assert path.exists(), worker.output
        found: list[float] = orjson.loads(path.read_bytes())
        return found

    return eventually(all_are_committed, timeout=60)


def summary(milliseconds: Sequence[float]) -> dict[str, float]:
    """Return the percentiles: of so many in a hundred events, none took longer."""
    ranked = sorted(milliseconds)
    return {
        f"p{percent:g}_ms": round(ranked[max(0, int(len(ranked) * percent / 100) - 1)], 2)
        for percent in PERCENTILES
    }


def main() -> None:
    """Print a table and, last, the line of JSON."""
    asked = _arguments()
    with started() as servers:
        bench = Latency(servers.kafka, servers.postgresql, folder=servers.folder)
        measured = {f"{rate}/s": summary(bench.run(rate, asked.seconds)) for rate in asked.rates}
    print(f"\n{servers.machine}\n{asked.seconds} s at each rate, in milliseconds\n")
    print(f"{'events':<12}" + "".join(f"{f'p{percent:g}':>10}" for percent in PERCENTILES))
    for rate, figures in measured.items():
        print(f"{rate:<12}" + "".join(f"{figure:>10.2f}" for figure in figures.values()))
    print(json.dumps({"latencies": measured, "machine": servers.machine}))


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    rates = "events a second (default 100 and 1,000)"
    parser.add_argument("--rates", type=int, nargs="+", default=[100, 1000], help=rates)
    parser.add_argument("--seconds", type=int, default=60, help="at each rate (default 60)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
