"""How many events a second one worker settles: `uv run python -m benchmarks.throughput`."""

import asyncio
import subprocess
from argparse import ArgumentParser, Namespace
from importlib.util import find_spec

from benchmarks import results
from benchmarks.cases import CASES
from benchmarks.rounds import Rounds, administrator_url
from benchmarks.servers import started


def main() -> None:
    """Print the table and, last, the line of JSON."""
    asked = _arguments()
    _install_peers()
    cases = [case for case in CASES if case.name in asked.cases]
    with started() as servers:
        urls = {"postgresql": administrator_url(servers.postgresql)}
        bench = Rounds(servers.kafka, urls, events=asked.events, folder=servers.folder)
        rounds = asyncio.run(bench.run(cases, asked.rounds))
    print(f"\n{servers.machine}\n{asked.rounds} rounds of {asked.events:,} events\n")
    print(results.table(rounds))
    print(results.line(rounds, servers.machine))


def _install_peers() -> None:
    """Add to the environment what nothing but a peer needs, if it is not there."""
    if find_spec("faststream") is None:
        subprocess.run(["uv", "sync", "--inexact", "--group", "benchmarks"], check=True)


def _arguments() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    names = [case.name for case in CASES]
    parser.add_argument("--quick", action="store_true", help="within 50 s: fewer events and rounds")
    parser.add_argument("--rounds", type=int, help="of every case in turn (default 5, quick 2)")
    parser.add_argument("--events", type=int, help="a run (default 100,000, quick 20,000)")
    parser.add_argument("--cases", nargs="+", choices=names, default=names, help="only these")
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (2 if asked.quick else 5)
    asked.events = asked.events or (20_000 if asked.quick else 100_000)
    return asked


if __name__ == "__main__":
    main()
