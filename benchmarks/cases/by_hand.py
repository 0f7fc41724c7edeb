"""Faust and SQLAlchemy put together by hand: look up, insert and commit, event by event."""

from datetime import datetime
from hashlib import blake2b
from typing import Any

import faust
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from app.checkpoint.database import async_url
from app.checkpoint.models import EventRow, sort_key
from benchmarks.service import make_app
from benchmarks.task import Stopwatch, Task

task = Task.from_environment()
stopwatch = Stopwatch(task)
app = make_app(task)
sessions = async_sessionmaker(
    create_async_engine(async_url(task.database_url)), expire_on_commit=False
)


@app.agent(app.topic(task.topic))
async def process_orders(orders: faust.StreamT[Any]) -> None:
    """Save each order unless it is there."""
    async for event in orders.events():
        stopwatch.event()
        row = _row(event)
        async with sessions.begin() as session:
            known = select(EventRow.id).where(EventRow.identity == row.identity)
            if await session.scalar(known) is None:
                session.add(row)


def _row(event: faust.EventT[Any]) -> EventRow:
    message = event.message
    raw: Any = message.value
    order: Any = event.value
    checksum = blake2b(raw, digest_size=16).digest()
    event_time = datetime.fromisoformat(order["time"])
    return EventRow(
        identity=checksum,
        agent="process_orders",
        topic=message.topic,
        group_id=task.group,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        entity_id=order["id"],
        event_time=event_time,
        event_type=order["type"],
        event_version=str(order["version"]),
        checksum=checksum,
        payload=raw.decode(),
        sort_key=sort_key(event_time),
    )
