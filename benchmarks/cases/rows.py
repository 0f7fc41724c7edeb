"""The row of an event as somebody who does it by hand would make it."""

from datetime import datetime
from hashlib import blake2b
from typing import Any

from app.checkpoint.models import EventRow, sort_key


def make_row(order: dict[str, Any], message: Any, *, group: str) -> EventRow:
    """Return the row of an order that came in a message, which is Faust's or aiokafka's."""
    raw: bytes = message.value
    checksum = blake2b(raw, digest_size=16).digest()
    event_time = datetime.fromisoformat(order["time"])
    return EventRow(
        identity=checksum,
        agent="process_orders",
        topic=message.topic,
        group_id=group,
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
