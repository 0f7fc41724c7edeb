"""`process` runs the whole pipeline for given bytes, and tells what became of them."""

from typing import Any

import faust
import pytest
from faust.types import StreamT
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import (
    Ack,
    Backoff,
    Checkpoint,
    ConfigurationError,
    Metadata,
    Notification,
    ack,
)
from app.checkpoint.models import EventRow
from app.checkpoint.testing import Result, database, process

checkpoint = Checkpoint("sqlite:///:memory:")


@checkpoint(max_retries=1)
async def handle(payload: Any, metadata: Metadata) -> Ack | None:
    """Do as the payload says."""
    seen.append(metadata)
    if payload == "raise":
        raise LookupError(metadata.attempt)
    return None if payload == "skip" else ack(payload, 0)


seen: list[Metadata] = []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'"order"', Result(outcome="acknowledged", ack=ack("order", 0))),
        (b'"skip"', Result(outcome="skipped")),
        (None, Result(outcome="failed", attempts=2)),
        (b'"raise"', Result(outcome="failed", attempts=2)),
        (b"{", Result(outcome="failed", attempts=1)),
    ],
)
async def test_it_tells_what_became_of_an_event(value: bytes | None, expected: Result) -> None:
    """And what the handler returned or raised."""
    result = await process(handle, value)
    assert (result.outcome, result.ack) == (expected.outcome, expected.ack)
    assert result.attempts == expected.attempts
    assert (result.error is None) == (expected.outcome != "failed")


async def test_the_last_error_is_told() -> None:
    """Not the first."""
    assert str((await process(handle, b'"raise"')).error) == "2"


async def test_without_a_database_each_call_begins_anew() -> None:
    """With one, what was recorded is a duplicate."""
    outcomes = [(await process(handle, b'"order"')).outcome for _ in range(2)]
    assert outcomes == ["acknowledged", "acknowledged"]
    async with database() as into:
        outcomes = [(await process(handle, b'"order"', into=into)).outcome for _ in range(2)]
        assert outcomes == ["acknowledged", "duplicate"]
        async with into.engine.connect() as connection:
            assert (await connection.scalars(select(EventRow.entity_id))).all() == ["order"]


async def test_a_message_may_be_all_that_a_message_can_be() -> None:
    """Without more words it is the first of a test topic."""
    seen.clear()
    await process(handle, b'"skip"')
    await process(
        handle, b'"skip"', topic="orders", partition=3, key=b"k", headers=(("a", b"b"),), offset=4
    )
    plain, full = seen
    assert (plain.topic, plain.group_id) == ("test-topic", "test-group")
    assert (plain.partition, plain.offset, plain.key) == (0, 13, None)
    assert (plain.headers, plain.timestamp) == ((), None)
    assert (full.topic, full.partition, full.offset) == ("orders", 3, 4)
    assert (full.key, full.headers) == (b"k", (("a", b"b"),))


async def test_retries_follow_at_once() -> None:
    """However long the backoff is in the worker."""
    patient = checkpoint(backoff=Backoff(min=3600, max=3600), max_retries=3)(handle.function)
    assert (await process(patient, b'"raise"')).attempts == 4


async def test_listeners_of_the_checkpoint_are_told() -> None:
    """A service can test them too."""
    own, heard = Checkpoint("sqlite:///:memory:"), list[str]()

    def page(notification: Notification, **_: Any) -> None:
        heard.append(str(notification.error))

    own.notifications.event_failed.connect(page)
    await process(own(max_retries=0)(handle.function), b'"raise"')
    assert heard == ["1"]


async def test_a_transactional_handler_gets_a_session_on_the_given_database() -> None:
    """What it writes there stays when the event is recorded."""

    async def writes(_: Any, __: Metadata, session: AsyncSession) -> Ack:
        await session.execute(text("INSERT INTO orders VALUES (1)"))
        return ack("order", 0)

    async with database() as into:
        async with into.engine.begin() as connection:
            await connection.execute(text("CREATE TABLE orders (id INTEGER)"))
        result = await process(checkpoint(transactional=True)(writes), b"{}", into=into)
        async with into.engine.connect() as connection:
            orders = (await connection.execute(text("SELECT id FROM orders"))).all()
    assert (result.outcome, orders) == ("acknowledged", [(1,)])


async def test_it_takes_an_agent_and_gives_it_its_name() -> None:
    """Or the decorated function alone."""
    seen.clear()
    app = faust.App("service", broker="kafka://127.0.0.1:9", store="memory://")
    topic = app.topic("orders", key_serializer="raw", value_serializer="raw")
    await process(app.agent(topic, name="pinned")(handle), b'"skip"')
    await process(app.agent(topic)(handle), b'"skip"')
    await process(handle, b'"skip"')
    assert [metadata.agent for metadata in seen] == ["pinned", *[f"{__name__}.handle"] * 2]


async def test_an_agent_that_is_not_checkpointed_is_refused() -> None:
    """It has no pipeline."""
    app = faust.App("service", broker="kafka://127.0.0.1:9", store="memory://")

    @app.agent(app.topic("orders"))
    async def plain(_: StreamT[Any]) -> None:
        """Do nothing."""

    with pytest.raises(ConfigurationError, match=r"plain.* decorate its handler with @checkpoint"):
        await process(plain, b"{}")
