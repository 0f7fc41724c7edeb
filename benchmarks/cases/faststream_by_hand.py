"""FastStream and SQLAlchemy put together by hand: look up, insert, commit, then acknowledge."""

import asyncio
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaMessage
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from app.checkpoint.database import async_url
from app.checkpoint.models import EventRow
from benchmarks.cases.rows import make_row
from benchmarks.task import Stopwatch, Task

task = Task.from_environment()
stopwatch = Stopwatch(task)
broker = KafkaBroker(task.broker_url.removeprefix("kafka://"))
subscriber = broker.subscriber(
    task.topic,
    group_id=task.group,
    auto_offset_reset="earliest",
    ack_policy=AckPolicy.MANUAL,
)
sessions = async_sessionmaker(
    create_async_engine(async_url(task.database_url)), expire_on_commit=False
)


async def process_order(order: dict[str, Any], message: KafkaMessage) -> None:
    """Save the order unless it is there."""
    stopwatch.event()
    row = make_row(order, message.raw_message, group=task.group)
    async with sessions.begin() as session:
        known = select(EventRow.id).where(EventRow.identity == row.identity)
        if await session.scalar(known) is None:
            session.add(row)
    await message.ack()


# Not as a decorator, which is untyped wherever FastStream is not installed.
subscriber(process_order)

if __name__ == "__main__":
    asyncio.run(FastStream(broker).run())
