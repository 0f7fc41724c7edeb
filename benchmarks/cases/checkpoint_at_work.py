"""A checkpointed agent that takes a millisecond for each event."""

from typing import Any

from app.checkpoint import Ack, Checkpoint, Metadata, ack
from benchmarks.service import make_app
from benchmarks.task import Stopwatch, Task
from benchmarks.work import WORK

task = Task.from_environment()
stopwatch = Stopwatch(task)
app = make_app(task)
checkpoint = Checkpoint(task.database_url)
checkpoint.install(app)
work = WORK[task.work]


@app.agent(app.topic(task.topic, key_serializer="raw", value_serializer="raw"))
@checkpoint()
async def process_order(order: dict[str, Any], _: Metadata) -> Ack:
    """Work, and have the order recorded."""
    stopwatch.event()
    await work()
    return ack(order["id"], order["time"], order["type"], order["version"])
