"""A checkpointed agent whose handler writes one row of its own through its session."""

import asyncio
from functools import partial
from typing import Any

from sqlalchemy import String, Table
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from app.checkpoint import Ack, Checkpoint, Metadata, Model, ack
from benchmarks.service import make_app
from benchmarks.task import Stopwatch, Task

task = Task.from_environment()
stopwatch = Stopwatch(task)
app = make_app(task)
checkpoint = Checkpoint(task.database_url)
checkpoint.install(app)


class Shipment(Model):
    """What the handler writes."""

    __tablename__ = "shipments"

    order_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    items: Mapped[int]


@app.agent(app.topic(task.topic, key_serializer="raw", value_serializer="raw"))
@checkpoint(transactional=True)
async def process_order(order: dict[str, Any], _: Metadata, session: AsyncSession) -> Ack:
    """Ship the order, and have it recorded."""
    stopwatch.event()
    session.add(Shipment(order_id=order["id"], items=len(order["items"])))
    return ack(order["id"], order["time"], order["type"], order["version"])


async def create_table() -> None:
    """Begin with an empty table."""
    table: Table = Shipment.__table__  # type: ignore[assignment]
    async with checkpoint.database.engine.begin() as connection:
        await connection.run_sync(partial(table.drop, checkfirst=True))
        await connection.run_sync(table.create)
    # The worker has an event loop of its own.
    await checkpoint.database.close()


asyncio.run(create_table())
