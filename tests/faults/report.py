"""One line of JSON for each fault that a test has injected, for the table of the fault report."""

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict, Unpack


class Figures(TypedDict):
    """What came of a fault."""

    injected: int
    hit: int
    """How many of them found an event in flight."""
    events: int
    """How many events were checked."""
    lost: NotRequired[int]
    duplicates: NotRequired[int]
    """Handler runs beyond the first of each event."""
    double_effects: NotRequired[int]
    recovery: NotRequired[Sequence[float]]
    """Seconds that each recovery took."""


def note(fault: str, **figures: Unpack[Figures]) -> None:
    """Append what came of a fault to the file named by FAULT_REPORT, if that is set."""
    path = os.environ.get("FAULT_REPORT")
    if path is None:
        return
    defaults = {"lost": 0, "duplicates": 0, "double_effects": 0, "recovery": []}
    with Path(path).open("a", encoding="utf-8") as report:
        report.write(json.dumps({"fault": fault, **defaults, **figures}) + "\n")


NAMES = {
    "W1": "killed at each of fifteen points of an event's way",
    "W2": "killed at random moments, three workers",
    "W5": "frozen beyond its session, woken as a zombie",
    "W6": "workers join and leave in order",
    "W7": "a handler hangs; W9-W11: raises, swallows, leaks or ruins whatever it can",
    "W8": "a handler blocks the event loop beyond the session",
    "W9": "a handler raises SystemExit",
    "W12": "out of memory, killed by the kernel",
    "W13": "the clock jumps by an hour",
    "B1": "broker killed",
    "B2": "broker silent: no answer, no reset",
    "B3": "connections to the broker reset",
    "B4": "broker 400 ms away, or behind a line that is narrow or loses 30 %",
    "B6": "leader and coordinator move",
    "B9": "one payload a thousand times",
    "B10": "two thousand events that cannot be decoded",
    "D1": "database stopped or killed",
    "D2": "all its connections cut, again and again",
    "D3": "database silent",
    "D4": "each of its answers late",
    "D5": "no connection left",
    "D6": "deadlock, lock wait, statement timeout",
    "D7": "COMMIT, or its reply, lost",
    "D8": "cancelled while COMMIT runs",
    "D9": "disk full",
    "D10": "read only, as after a failover",
    "D11": "SQLite locked by another process",
    "D12": "a column is away while a migration runs",
    "D13": "the same event in three workers, COMMITs lost",
    "D14": "topics that differ in case, or in the last of 249 characters",
}
"""The faults by their numbers in the fault model."""
COLUMNS = (
    *("injected", "hit in flight", "events checked", "lost"),
    *("repeated runs", "double effects", "most recovery, s"),
)


def table(path: Path) -> str:
    """Return what tests have noted as a table, one line for each kind of fault."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for line in path.read_text().splitlines():
        noted = json.loads(line)
        rows.setdefault(_kind(noted["fault"]), []).append(noted)
    lines = [f"| fault | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for kind in sorted(rows, key=_order):
        sums = [
            sum(noted[name] for noted in rows[kind])
            for name in ("injected", "hit", "events", "lost", "duplicates", "double_effects")
        ]
        times = [seconds for noted in rows[kind] for seconds in noted["recovery"]]
        longest = f"{max(times):.1f}" if times else "-"
        told = f"{kind}: {NAMES[kind]}" if kind in NAMES else kind
        lines.append(f"| {told} | {' | '.join(f'{total:,}' for total in sums)} | {longest} |")
    return "\n".join(lines)


def _kind(fault: str) -> str:
    code = re.match(r"[WBD]\d+\b", fault)
    return code[0] if code else fault.partition(":")[0]


def _order(kind: str) -> tuple[str, int, str]:
    code = re.match(r"([WBD])(\d+)$", kind)
    return (code[1], int(code[2]), "") if code else ("Z", 0, kind)


if __name__ == "__main__":
    sys.stdout.write(f"{table(Path(sys.argv[1]))}\n")
