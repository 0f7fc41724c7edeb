"""A checkpointed agent whose handler writes one row of its own through its session."""

import asyncio
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import Ack, Checkpoint, Metadata, ack
from benchmarks.service import make_app
from benchmarks.task import Stopwatch, Task

task = Task.from_environment()
stopwatch = Stopwatch(task)
app = make_app(task)
checkpoint = Checkpoint(task.database_url)
checkpoint.install(app)
SHIPMENTS = Table(
    "shipments",
    MetaData(),
    Column("order_id", String(36), primary_key=True),
    Column("items", Integer),
)


@app.agent(app.topic(task.topic, key_serializer="raw", value_serializer="raw"))
@checkpoint(transactional=True)
async def process_order(order: dict[str, Any], _: Metadata, session: AsyncSession) -> Ack:
    """Ship the order, and have it recorded."""
    stopwatch.event()
    shipment = {"order_id": order["id"], "items": len(order["items"])}
    await session.execute(insert(SHIPMENTS), shipment)
    return ack(order["id"], order["time"], order["type"], order["version"])


async def create_table() -> None:
    """Begin with an empty table."""
    async with checkpoint.database.engine.begin() as connection:
        await connection.run_sync(SHIPMENTS.metadata.drop_all)
        await connection.run_sync(SHIPMENTS.metadata.create_all)
    # The worker has an event loop of its own.
    await checkpoint.database.close()


asyncio.run(create_table())
