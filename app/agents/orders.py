"""Orders that were placed are shipped; everything else on the topic is passed over."""

from typing import Any

from app.checkpoint import Ack, Metadata, ack
from app.main import app, checkpoint, settings

orders = app.topic(settings.source_topic, key_serializer="raw", value_serializer="raw")


@app.agent(orders)
@checkpoint(max_retries=3)
async def process_order(payload: dict[str, Any], metadata: Metadata) -> Ack | None:
    """Ship an order once, however often its event is delivered."""
    if payload["type"] != "order_placed":
        return None
    await ship(payload)
    return ack(payload["id"], payload["time"], payload["type"], payload["version"])


async def ship(order: dict[str, Any]) -> None:
    """Stand in for what your service does with an order."""
