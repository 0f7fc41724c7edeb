"""What a second worker process adds: `uv run python -m benchmarks.workers`."""

import json
import time
from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from uuid import uuid4

from app.checkpoint.models import LANES
from benchmarks import tables
from benchmarks.orders import Filler
from benchmarks.servers import started
from benchmarks.task import Task
from tests.end_to_end.worker import Worker
from tests.polling import eventually
from tests.servers import Kafka, PostgreSQL

TOPIC = "orders"
PARTITIONS = 8
WARM_UP_SECONDS = 2.0
"""From the moment on at which each worker has partitions."""


class Group:
    """A consumer group on a topic that has more events than it can settle in its time."""

    def __init__(self, kafka: Kafka, postgresql: PostgreSQL, *, events: int, folder: Path) -> None:
        self._kafka = kafka
        self._postgresql = postgresql
        self._events = events
        self._folder = folder

    def fill_topic(self) -> None:
        """Produce the events, before anything is measured."""
        self._kafka.create_topic(TOPIC, PARTITIONS)
        Filler(self._kafka.bootstrap, TOPIC, partitions=PARTITIONS).produce(self._events)

    def rate(self, workers: int, seconds: float) -> float:
        """Return how many events a second so many workers settle together.

        Raises:
            RuntimeError: the topic came to its end; it needs more events.
        """
        url = tables.begin_empty(self._postgresql)
        with self._running(workers, url):
            eventually(lambda: self._check_all_have_lanes(workers), timeout=60)
            time.sleep(WARM_UP_SECONDS)
            started, before = time.monotonic(), tables.settled(self._postgresql)
            time.sleep(seconds)
            after = tables.settled(self._postgresql)
            rate = (after - before) / (time.monotonic() - started)
            self._check_all_have_lanes(workers)
        if after == self._events:
            message = "the topic has too few events: ask for more by --events"
            raise RuntimeError(message)
        return rate

    def _check_all_have_lanes(self, workers: int) -> None:
        owners = f"SELECT count(DISTINCT owner) FROM {LANES.name}"  # noqa: S608 - our own table
        assert self._postgresql.execute(owners) == [(workers,)]

    @contextmanager
    def _running(self, number: int, url: str) -> Iterator[None]:
        group = f"workers-{uuid4().hex}"
        workers = []
        try:
            for one in range(number):
                task = self._task(group, url, self._folder / f"{group}-{one}.json")
                log = self._folder / f"{group}-{one}.log"
                module = "benchmarks.cases.checkpoint"
                workers.append(Worker(module, log=log, environ=task.environment()))
            yield
        finally:
            for worker in workers:
                worker.kill()

    def _task(self, group: str, url: str, report: Path) -> Task:
        return Task(
            broker_url=self._kafka.broker_url,
            database_url=url,
            topic=TOPIC,
            group=group,
            events=self._events,
            report=str(report),
        )


def main() -> None:
    """Print a table and, last, the line of JSON."""
    asked = _arguments()
    rates: defaultdict[int, list[float]] = defaultdict(list)
    with started() as servers:
        print(f"\n{servers.machine}\n{asked.rounds} rounds of {asked.seconds} s\n", flush=True)
        group = Group(servers.kafka, servers.postgresql, events=asked.events, folder=servers.folder)
        group.fill_topic()
        for number in range(1, asked.rounds + 1):
            for workers in asked.workers:
                rates[workers].append(group.rate(workers, asked.seconds))
                print(f"round {number}: {workers} {rates[workers][-1]:,.0f}/s", flush=True)
    _print(rates, servers.machine)


def _print(rates: dict[int, list[float]], machine: str) -> None:
    told = {}
    print(f"\n{'workers':<12}{'events/s':>10}{'ratio':>8}")
    first = next(iter(rates.values()))
    for workers, found in rates.items():
        ratio = median(rate / beside for rate, beside in zip(found, first, strict=True))
        told[workers] = {"events_per_s": round(median(found), 1), "ratio": round(ratio, 3)}
        print(f"{workers:<12}{median(found):>10,.0f}{ratio:>8.2f}")
    print(json.dumps({"workers": told, "machine": machine}))


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    workers = "how many, the first the 1.0 of all ratios (default 1 and 2)"
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help=workers)
    parser.add_argument("--rounds", type=int, default=5, help="of each in turn (default 5)")
    parser.add_argument("--seconds", type=float, default=10, help="of a round (default 10)")
    events = "that wait (default 1,500,000)"
    parser.add_argument("--events", type=int, default=1_500_000, help=events)
    return parser.parse_args()


if __name__ == "__main__":
    main()
