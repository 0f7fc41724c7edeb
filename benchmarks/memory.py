"""How much memory a worker takes when it is hard pressed: `uv run python -m benchmarks.memory`."""

import json
import statistics
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.checkpoint.models import EVENTS
from benchmarks import tables
from benchmarks.orders import PARTITIONS, SIZE, Filler
from benchmarks.servers import started
from benchmarks.task import Task
from tests.end_to_end.worker import Worker
from tests.servers import Kafka, PostgreSQL

BOUND = 400.0
"""MiB that no worker may exceed."""
INTERVAL = 0.5
"""Seconds between two samples."""
AHEAD = 300_000
"""Events that wait while a topic is refilled."""
KEPT_ROWS = 2_000_000
"""Rows after which the table is emptied where a topic is refilled."""
SEGMENTS = {"segment.bytes": "67108864", "retention.bytes": "536870912"}
"""Of a topic that is refilled, for each partition."""
GROWTH = "growth_mb_per_10_min"


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a worker has to cope with."""

    module: str = "checkpoint"
    events: int
    """That wait when it starts."""
    size: int = SIZE
    partitions: int = PARTITIONS
    refilled: bool = False
    """Whether more come, so that it never runs out of them."""


SITUATIONS = {
    "backlog": Situation(events=5_000_000),
    "blocked": Situation(events=2_000_000, partitions=8, module="blocked"),
    "large": Situation(events=30_000, size=100_000),
    "soak": Situation(events=AHEAD, refilled=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at a worker."""

    seconds: float
    """Since it was ready."""
    rss_mb: float
    settled: int
    """Events that had their rows."""


class Memory:
    """Has workers face situations, on servers of its own."""

    def __init__(self, kafka: Kafka, postgresql: PostgreSQL, *, folder: Path) -> None:
        self._kafka = kafka
        self._postgresql = postgresql
        self._folder = folder

    def run(self, name: str, situation: Situation, seconds: float) -> list[Sample]:
        """Return what was seen of a worker until its time is over or its topic is."""
        url = tables.begin_empty(self._postgresql)
        self._kafka.create_topic(name, situation.partitions, SEGMENTS if situation.refilled else {})
        sizes = {"size": situation.size, "partitions": situation.partitions}
        filler = Filler(self._kafka.bootstrap, name, **sizes)
        filler.produce(situation.events)
        task = self._task(name, situation, url)
        module, log = f"benchmarks.cases.{situation.module}", self._folder / f"{name}.log"
        worker = Worker(module, log=log, environ=task.environment())
        try:
            worker.wait_until_ready()
            return self._watch(worker, filler, situation, seconds)
        finally:
            worker.kill()

    def _watch(
        self, worker: Worker, filler: Filler, situation: Situation, seconds: float
    ) -> list[Sample]:
        samples: list[Sample] = []
        started, emptied_at, settled = time.monotonic(), 0, 0
        while (now := time.monotonic() - started) < seconds and settled < filler.produced:
            assert worker.running, worker.output
            settled = tables.settled(self._postgresql)
            samples.append(Sample(seconds=now, rss_mb=_rss_mb(worker.pid), settled=settled))
            if situation.refilled:
                filler.produce(max(0, settled + AHEAD - filler.produced))
            if situation.refilled and settled - emptied_at > KEPT_ROWS:
                self._postgresql.execute(f"TRUNCATE {EVENTS.name}")
                emptied_at = settled
            time.sleep(INTERVAL)
        return samples

    def _task(self, name: str, situation: Situation, url: str) -> Task:
        return Task(
            broker_url=self._kafka.broker_url,
            database_url=url,
            topic=name,
            group=f"memory-{name}",
            events=situation.events,
            report=str(self._folder / f"{name}.json"),
        )


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 2**10


def summary(samples: Sequence[Sample]) -> dict[str, float]:
    """Return what the samples show."""
    return {
        "seconds": round(samples[-1].seconds),
        "settled": samples[-1].settled,
        "median_mb": round(statistics.median(sample.rss_mb for sample in samples), 1),
        "most_mb": round(max(sample.rss_mb for sample in samples), 1),
    }


def growth(samples: Sequence[Sample]) -> float:
    """Return MiB in 10 minutes, by least squares, without the first quarter of the time."""
    later = samples[len(samples) // 4 :]
    minutes = [sample.seconds / 60 for sample in later]
    slope = statistics.linear_regression(minutes, [sample.rss_mb for sample in later]).slope
    return round(10 * slope, 2)


def main() -> None:
    """Print a table and, last, the line of JSON."""
    asked = _arguments()
    measured: dict[str, dict[str, float]] = {}
    with started() as servers:
        print(f"\n{servers.machine}\n", flush=True)
        bench = Memory(servers.kafka, servers.postgresql, folder=servers.folder)
        for name in asked.only:
            seconds = 60 * asked.minutes if SITUATIONS[name].refilled else asked.seconds
            samples = bench.run(name, SITUATIONS[name], seconds)
            measured[name] = summary(samples)
            if SITUATIONS[name].refilled:
                measured[name][GROWTH] = growth(samples)
            print(f"{name}: {measured[name]}", flush=True)
    print(_table(measured))
    print(json.dumps({"memory": measured, "machine": servers.machine}))


def _table(measured: Mapping[str, Mapping[str, float]]) -> str:
    titles = f"{'median MB':>12}{'most MB':>10}{'MB/10 min':>12}"
    lines = [f"\n{'situation':<12}{'s':>6}{'settled':>12}{titles}"]
    for name, of in measured.items():
        begin = f"{name:<12}{of['seconds']:>6}{of['settled']:>12,}{of['median_mb']:>12.1f}"
        grown = f"{of[GROWTH]:>12.2f}" if GROWTH in of else ""
        mark = "  !" if of["most_mb"] > BOUND else ""
        lines.append(f"{begin}{of['most_mb']:>10.1f}{grown}{mark}")
    return "\n".join(lines)


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    names = list(SITUATIONS)
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these situations")
    parser.add_argument("--seconds", type=int, default=60, help="of each but the soak (default 60)")
    parser.add_argument("--minutes", type=float, default=20, help="of the soak (default 20)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
