"""Uses all that the engine offers. Never run: the type checker reads it, in strict mode."""

from datetime import datetime
from typing import Any, assert_type
from uuid import UUID

import faust
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import (
    Ack,
    Backoff,
    Checkpoint,
    CheckpointError,
    ConfigurationError,
    Count,
    EventRecord,
    FailureRecord,
    Filter,
    Metadata,
    Notification,
    Page,
    Reader,
    SchemaError,
    Skip,
    ack,
    skip,
)
from app.checkpoint.testing import Result, database, process


class Order:
    """Validates itself as a Pydantic model does."""

    id: UUID
    placed_at: datetime

    @classmethod
    def model_validate_json(
        cls, json_data: str | bytes | bytearray, *, strict: bool | None = None
    ) -> "Order":
        """Read an order."""
        raise NotImplementedError(json_data, strict)


class Decoder:
    """Decodes as one of msgspec does."""

    def decode(self, buf: bytes | bytearray | memoryview | str, /) -> Order:
        """Read an order."""
        raise NotImplementedError(buf)


async def from_registry(value: bytes) -> Order:
    """Read an order whose schema has to be asked for."""
    raise NotImplementedError(value)


def retry_if(error: Exception, metadata: Metadata) -> bool:
    """Return whether an attempt is worth another one."""
    return isinstance(error, OSError) and metadata.attempt < 3


def describe(order: Order, metadata: Metadata) -> Ack:
    """Say what a failed event is about."""
    return ack(order.id, order.placed_at, "order", metadata.offset)


def by_id(order: Order, _: Metadata) -> str:
    """Name an event."""
    return str(order.id)


def by_key(_: Order, metadata: Metadata) -> bytes:
    """Name an event."""
    return metadata.key or b"-"


app = faust.App("service", broker="kafka://localhost", store="memory://")
orders = app.topic("orders", key_serializer="raw", value_serializer="raw")
checkpoint = Checkpoint(
    "postgresql://localhost/service",
    grace=5,
    max_retries=None,
    backoff=Backoff(min=0.5, max=30, multiplier=2, jitter=0.2),
    timeout=None,
)
checkpoint.install(app)


@app.agent(orders)
@checkpoint()
async def with_defaults(payload: dict[str, Any], metadata: Metadata) -> Ack | None:
    """Return an Ack or nothing."""
    if metadata.checksum is None:
        return None
    return ack(payload["id"], payload["time"], payload["type"], payload["version"])


@app.agent(orders, name="pinned")
@checkpoint(
    max_retries=3,
    backoff=Backoff(),
    retry_if=retry_if,
    timeout=10,
    decode=Order.model_validate_json,
    identity=by_id,
    describe=describe,
)
async def with_everything(order: Order, metadata: Metadata) -> Ack:
    """Return an Ack, always."""
    return Ack(str(order.id), order.placed_at, metadata.topic)


@checkpoint(decode=Decoder().decode, identity=by_key)
async def with_skip(order: Order, _: Metadata) -> Ack | Skip:
    """Return an Ack or a Skip."""
    return ack(order.id, order.placed_at.timestamp()) if order.id else skip()


@checkpoint(ordered_by="key", concurrency=8)
async def side_by_side(payload: dict[str, Any], _: Metadata) -> Ack:
    """Return an Ack."""
    return ack(payload["id"], payload["time"])


@checkpoint(transactional=True, decode=from_registry, identity="key_and_payload")
async def in_transaction(order: Order, _: Metadata, session: AsyncSession) -> Ack:
    """Write through the session."""
    session.add(order)
    return ack(order.id, order.placed_at)


def page(notification: Notification, **_: Any) -> None:
    """Page somebody."""
    assert_type(notification.metadata.attempt, int)
    assert_type(notification.duration, float)
    assert_type(notification.error, BaseException | None)


checkpoint.notifications.event_failed.connect(page)


async def test_an_order() -> None:
    """Test an agent as a service would."""
    async with database("sqlite:///:memory:") as into:
        result = await process(with_everything, b"{}", into=into, key=b"k", headers=(("a", b"b"),))
        assert_type(result, Result)
        assert_type(result.ack, Ack | None)
        assert_type(await process(with_skip, None), Result)
    await in_transaction.function(Order(), None, None)


async def look_around(reader: Reader) -> None:
    """Read as a service's own views would."""
    page = await reader.events(Filter(topic="orders"), limit=20)
    assert_type(page, Page[EventRecord])
    while page.next:
        page = await reader.events(Filter(topic="orders"), limit=20, after=page.next)
    failures = await reader.failures(Filter(status="all"), limit=20, offset=20)
    assert_type(failures.items, list[FailureRecord])
    assert_type(await reader.count_failures(Filter()), Count)
    assert_type((await reader.event(1)).related, list[int])
    assert_type((await reader.groups(limit=5))[0].sample, FailureRecord)
    assert_type((await reader.stats()).events.capped, bool)
    assert_type((await reader.audit(limit=5, subject="failure")).items[0].operation_id, int | None)


def refuse(error: CheckpointError) -> str:
    """Tell one refusal from another."""
    match error:
        case ConfigurationError():
            assert_type(isinstance(error, ValueError), bool)
            return "setting"
        case SchemaError():
            return "schema"
        case _:
            return "other"


# Each of these is a mistake, and the checker must say so.
checkpoint(retries=3)  # type: ignore[call-arg]
checkpoint(max_retries="3")  # type: ignore[arg-type]
checkpoint(identity="checksum")  # type: ignore[arg-type]
checkpoint(retry_if=by_id)  # type: ignore[arg-type]
checkpoint(describe=by_id)  # type: ignore[arg-type]
checkpoint(with_skip)  # type: ignore[arg-type]
checkpoint()(by_id)  # type: ignore[arg-type]
Filter(status="closed")  # type: ignore[arg-type]
ack(1.5, 0)  # type: ignore[arg-type]
ack("order")  # type: ignore[call-arg]
