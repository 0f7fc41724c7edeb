"""A stock Faust agent that does nothing, and is safe from nothing."""

from typing import Any

import faust

from benchmarks.service import make_app
from benchmarks.task import Stopwatch, Task

task = Task.from_environment()
stopwatch = Stopwatch(task)
app = make_app(task)


@app.agent(app.topic(task.topic))
async def process_orders(orders: faust.StreamT[Any]) -> None:
    """Let the events pass."""
    async for _ in orders:
        stopwatch.event()
