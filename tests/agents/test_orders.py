"""The example agent, run through the whole checkpoint without Kafka."""

from datetime import UTC, datetime

import orjson

from app.agents.orders import process_order
from app.checkpoint.testing import database, process

ORDER = {
    "id": "order-1",
    "type": "order_placed",
    "version": "1",
    "time": "2026-01-02T03:04:05Z",
}


async def test_a_placed_order_is_acknowledged() -> None:
    """An order that was placed is recorded with its own id, time, type and version."""
    result = await process(process_order, orjson.dumps(ORDER))
    assert result.ack is not None
    assert result.ack.entity_id == "order-1"
    assert result.ack.event_time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (result.ack.event_type, result.ack.event_version) == ("order_placed", "1")


async def test_other_events_are_skipped() -> None:
    """Nothing is saved of an event of another type."""
    result = await process(process_order, orjson.dumps({**ORDER, "type": "order_viewed"}))
    assert result.outcome == "skipped"


async def test_the_same_order_is_handled_once() -> None:
    """A second delivery of the same bytes is a duplicate."""
    async with database() as orders:
        first = await process(process_order, orjson.dumps(ORDER), into=orders)
        second = await process(process_order, orjson.dumps(ORDER), into=orders, offset=14)
    assert (first.outcome, second.outcome) == ("acknowledged", "duplicate")


async def test_an_order_without_a_time_fails() -> None:
    """An order that cannot be recorded is tried four times and becomes a failure."""
    order = {name: value for name, value in ORDER.items() if name != "time"}
    result = await process(process_order, orjson.dumps(order))
    assert (result.outcome, result.attempts) == ("failed", 4)
    assert isinstance(result.error, KeyError)
