"""A checkpointed agent that is given a topic whose events all have their rows already."""

import asyncio
from typing import Any

from faust.types import TP

from app.checkpoint import Ack, Checkpoint, Metadata, ack
from app.checkpoint.events import make_record
from app.checkpoint.lanes import BATCH_SIZE, Lane
from benchmarks.cases.batches import watch_batches
from benchmarks.orders import PARTITIONS, orders
from benchmarks.service import make_app
from benchmarks.task import Stopwatch, Task

task = Task.from_environment()
app = make_app(task)
checkpoint = Checkpoint(task.database_url)
checkpoint.install(app)


@checkpoint()
async def process_order(order: dict[str, Any], _: Metadata) -> Ack:
    """Have the order recorded."""
    return ack(order["id"], order["time"], order["type"], order["version"])


agent = app.agent(app.topic(task.topic, key_serializer="raw", value_serializer="raw"))(
    process_order
)


async def record_all() -> None:
    """Settle the topic's events without the broker, in the same group."""
    pipeline = process_order.pipeline(agent=agent.name, group_id=task.group)
    lanes = [Lane(TP(task.topic, number), pipeline.settle) for number in range(PARTITIONS)]
    for number, (key, value) in enumerate(orders(task.events)):
        offset, partition = divmod(number, PARTITIONS)
        record = make_record(value, topic=task.topic, partition=partition, offset=offset, key=key)
        lanes[partition].deliver([record])
        if len(lanes[partition]) == BATCH_SIZE:
            await lanes[partition].step()
    for lane in lanes:
        while len(lane):
            await lane.step()
    # The worker has an event loop of its own.
    await checkpoint.database.close()


asyncio.run(record_all())
stopwatch = Stopwatch(task)
watch_batches(taken_up=stopwatch.start, settled=lambda records: stopwatch.count(len(records)))
