"""A stock Faust agent that takes a millisecond for each event, and is safe from nothing."""

from typing import Any

import faust

from benchmarks.service import make_app
from benchmarks.task import Stopwatch, Task
from benchmarks.work import WORK

task = Task.from_environment()
stopwatch = Stopwatch(task)
app = make_app(task)
work = WORK[task.work]


@app.agent(app.topic(task.topic))
async def process_orders(orders: faust.StreamT[Any]) -> None:
    """Work for each event."""
    async for _ in orders:
        stopwatch.event()
        await work()
