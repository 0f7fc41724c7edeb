"""What order by key gains with one partition: `uv run python -m benchmarks.key_order`."""

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from benchmarks.cases import Case, worker
from benchmarks.rounds import Rounds, administrator_url
from benchmarks.servers import started


def _cases(milliseconds: int, **fields: int) -> tuple[Case, ...]:
    alike: Mapping[str, Any] = {"command": worker("key_order"), "partitions": 1, **fields}
    return tuple(
        Case(name=order, work=f"{order} {milliseconds}", **alike) for order in ("partition", "key")
    )


HANDLERS: dict[str, tuple[Case, ...]] = {
    "handlers that wait 5 ms": _cases(5, share=20),
    "handlers that never wait": _cases(0),
}


def main() -> None:
    """Print a table for each kind of handler and, last, the line of JSON."""
    parser = ArgumentParser(prog="python -m benchmarks.key_order", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of every case in turn (default 5)")
    events = "a run, of slow ones a twentieth (default 50,000)"
    parser.add_argument("--events", type=int, default=50_000, help=events)
    asked = parser.parse_args()
    told: dict[str, object] = {}
    with started() as servers:
        told["machine"] = servers.machine
        print(f"\n{told['machine']}\n{asked.rounds} rounds of {asked.events:,} events or a part")
        urls = {"postgresql": administrator_url(servers.postgresql)}
        bench = Rounds(servers.kafka, urls, events=asked.events, folder=servers.folder)
        told |= bench.compare(HANDLERS, asked.rounds)
    print(f"\n{json.dumps(told)}")


if __name__ == "__main__":
    main()
