"""Faust and SQLAlchemy put together by hand: look up, insert and commit, event by event."""

from typing import Any

import faust
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from app.checkpoint.database import async_url
from app.checkpoint.models import EventRow
from benchmarks.cases.rows import make_row
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
        order: Any = event.value
        row = make_row(order, event.message, group=task.group)
        async with sessions.begin() as session:
            known = select(EventRow.id).where(EventRow.identity == row.identity)
            if await session.scalar(known) is None:
                session.add(row)
