"""One line of JSON for each fault that a test has injected, for the table of the fault report."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired, TypedDict, Unpack


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
