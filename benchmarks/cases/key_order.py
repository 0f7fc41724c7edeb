"""A checkpointed agent whose handler waits: `work` says for how long, and what keeps its order."""

import asyncio
from typing import Any

from app.checkpoint import Ack, Checkpoint, Metadata, ack
from app.checkpoint.decorator import OptionArguments
from benchmarks.service import make_app
from benchmarks.task import Stopwatch, Task

OPTIONS: dict[str, OptionArguments] = {
    "partition": {},
    "key": {"ordered_by": "key", "concurrency": 32},
}

task = Task.from_environment()
ordered_by, milliseconds = task.work.split()
seconds = int(milliseconds) / 1000
stopwatch = Stopwatch(task)
app = make_app(task)
checkpoint = Checkpoint(task.database_url)
checkpoint.install(app)


@app.agent(app.topic(task.topic, key_serializer="raw", value_serializer="raw"))
@checkpoint(**OPTIONS[ordered_by])
async def process_order(order: dict[str, Any], _: Metadata) -> Ack:
    """Wait for somebody, if it is to, and have the order recorded."""
    stopwatch.event()
    if seconds:
        await asyncio.sleep(seconds)
    return ack(order["id"], order["time"], order["type"], order["version"])
