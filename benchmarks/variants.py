"""The same under other conditions: `uv run python -m benchmarks.variants`.

Larger payloads, handlers that take their time, other databases, more partitions.
"""

import json
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.cases import Case, module, worker
from benchmarks.rounds import Rounds, administrator_url
from tests.servers import Kafka, MariaDB, PostgreSQL

STOCK, CHECKPOINT = worker("stock"), worker("checkpoint")


def _payloads(size: int, share: int) -> tuple[Case, ...]:
    of_size: Mapping[str, Any] = {"size": size, "share": share}
    return (
        Case(name="stock", command=STOCK, records=False, **of_size),
        Case(name="checkpoint", command=CHECKPOINT, **of_size),
        Case(name="copy", command=module("copy"), empties=False, **of_size),
    )


def _handlers(work: str, partitions: int) -> tuple[Case, ...]:
    alike: Mapping[str, Any] = {"work": work, "partitions": partitions, "share": 40}
    return (
        Case(name="stock", command=worker("stock_at_work"), records=False, **alike),
        Case(name="checkpoint", command=worker("checkpoint_at_work"), **alike),
    )


VARIANTS: dict[str, tuple[Case, ...]] = {
    "1 KB": _payloads(1_000, 1),
    "10 KB": _payloads(10_000, 5),
    "100 KB": _payloads(100_000, 50),
    "waiting 1 ms": _handlers("wait", 4),
    "computing 1 ms": _handlers("compute", 4),
    "waiting 1 ms, 1 partition": _handlers("wait", 1),
    "computing 1 ms, 1 partition": _handlers("compute", 1),
    "databases": (
        Case(name="postgresql", command=CHECKPOINT),
        Case(name="mariadb", command=CHECKPOINT, database="mariadb"),
        Case(name="sqlite", command=CHECKPOINT, database="sqlite"),
    ),
    "partitions": (
        Case(name="4", command=CHECKPOINT),
        Case(name="4 and 996 idle", command=CHECKPOINT, idle=996),
        Case(name="64", command=CHECKPOINT, partitions=64),
        Case(name="1000", command=CHECKPOINT, partitions=1000),
    ),
}
"""Of each, the first case is what the others are compared with."""


def main() -> None:
    """Print a table of each variant and, last, the line of JSON."""
    asked = _arguments()
    told: dict[str, object] = {}
    with ExitStack() as stack:
        kafka = stack.enter_context(Kafka())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls, versions = _databases(stack, folder, asked.only)
        told["machine"] = machine = results.machine(versions)
        print(f"\n{machine}\n{asked.rounds} rounds of {asked.events:,} events or a part of these")
        bench = Rounds(kafka, urls, events=asked.events, folder=folder)
        told |= bench.compare({name: VARIANTS[name] for name in asked.only}, asked.rounds)
    print(f"\n{json.dumps(told)}")


def _databases(stack: ExitStack, folder: Path, variants: list[str]) -> tuple[dict[str, str], str]:
    """Start those that are needed; return their URLs and versions."""
    postgresql = stack.enter_context(PostgreSQL(durable=True))
    versions = str(postgresql.execute("SHOW server_version")[0][0])
    urls = {"postgresql": administrator_url(postgresql), "sqlite": f"sqlite:///{folder}/events.db"}
    if any(case.database == "mariadb" for name in variants for case in VARIANTS[name]):
        mariadb = stack.enter_context(MariaDB(durable=True))
        versions += f", MariaDB {mariadb.execute('SELECT version()')[0][0]}"
        urls["mariadb"] = mariadb.create_database("benchmark")
    return urls, versions


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks.variants", description=__doc__)
    names = list(VARIANTS)
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these variants")
    parser.add_argument("--rounds", type=int, default=5, help="of every case in turn (default 5)")
    events = "a run, of large or slow ones a part (default 100,000)"
    parser.add_argument("--events", type=int, default=100_000, help=events)
    return parser.parse_args()


if __name__ == "__main__":
    main()
