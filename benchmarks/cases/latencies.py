"""The checkpointed agent, and how long each event took from its producer to its commit."""

import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from app.checkpoint.events import Record
from benchmarks.cases.batches import watch_batches
from benchmarks.cases.checkpoint import app, task

__all__ = ["app"]
milliseconds: list[float] = []


def note(records: Sequence[Record]) -> None:
    """Note the latency of events once the database has told that their rows are committed."""
    now = time.time_ns()
    for record in records:
        [(_, produced)] = record.headers
        milliseconds.append((now - int(produced or 0)) / 1e6)
    if len(milliseconds) == task.events:
        draft = Path(task.report).with_suffix(".draft")
        draft.write_bytes(orjson.dumps(milliseconds))
        draft.rename(draft.with_suffix(".latencies"))


watch_batches(taken_up=lambda: None, settled=note)
