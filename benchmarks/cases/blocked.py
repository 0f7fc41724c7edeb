"""A checkpointed agent that never gets beyond the first event of one partition."""

from typing import Any

from app.checkpoint import Ack, Checkpoint, Metadata, ack
from benchmarks.service import make_app
from benchmarks.task import Task

BLOCKED = 7
"""The partition."""

task = Task.from_environment()
app = make_app(task)
checkpoint = Checkpoint(task.database_url)
checkpoint.install(app)


@app.agent(app.topic(task.topic, key_serializer="raw", value_serializer="raw"))
@checkpoint(max_retries=None)
async def process_order(order: dict[str, Any], metadata: Metadata) -> Ack:
    """Have the order recorded, in all partitions but one."""
    if metadata.partition == BLOCKED:
        raise ConnectionError
    return ack(order["id"], order["time"], order["type"], order["version"])
