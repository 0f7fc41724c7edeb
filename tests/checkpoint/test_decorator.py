"""A decorated function is an agent as any other, and still the function that was written."""

import inspect
from collections.abc import AsyncIterator
from typing import Any

import faust
import pytest
from faust.types import AgentT
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import Ack, Checkpoint, ConfigurationError, Metadata, ack
from app.checkpoint.consumer import Transport
from app.checkpoint.decorator import Checkpointed
from app.checkpoint.models import EventRow, FailureRow, Model


async def order(payload: Any, metadata: Metadata) -> Ack | None:
    """Place an order."""
    seen.append((payload, metadata))
    if payload == "bad":
        raise LookupError(payload)
    return ack(payload["id"], 0) if payload else None


seen: list[tuple[Any, Metadata]] = []


class Service:
    """A Faust app that has a checkpoint and one agent."""

    def __init__(self, *, installed: bool = True, **options: Any) -> None:
        # Nobody listens at that port, and nothing here connects to it.
        self.app = faust.App("service", broker="kafka://127.0.0.1:9", store="memory://")
        self.checkpoint = Checkpoint("sqlite:///:memory:", max_retries=0, **options)
        if installed:
            self.checkpoint.install(self.app)
        self.orders = self.app.topic("orders", key_serializer="raw", value_serializer="raw")
        self.agent: AgentT[Any] = self.app.agent(self.orders)(self.checkpoint()(order))

    def close(self) -> None:
        """Close the loop of the consumer that Faust made to acknowledge with, and never ran."""
        consumer: Any = self.app.consumer
        consumer._thread.thread_loop.close()  # noqa: SLF001 - nobody else closes it

    async def count(self, row: type[EventRow | FailureRow]) -> int:
        """Return how many rows a table has."""
        async with self.checkpoint.database.engine.connect() as connection:
            return len((await connection.execute(select(row.id))).all())


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """Return a service with its tables."""
    seen.clear()
    service = Service()
    async with service.checkpoint.database.engine.begin() as connection:
        await connection.run_sync(Model.metadata.create_all)
    yield service
    await service.checkpoint.database.close()
    service.close()


async def test_the_function_can_be_called_in_a_unit_test() -> None:
    """Without Kafka, database and checkpoint."""
    service = Service()
    decorated = service.agent.fun
    assert isinstance(decorated, Checkpointed)
    assert decorated.function is order
    metadata = await _metadata()
    assert await decorated.function({"id": "1"}, metadata) == ack("1", 0)


async def _metadata() -> Metadata:
    return Metadata(
        agent="agent",
        topic="orders",
        group_id="service",
        partition=0,
        offset=0,
        key=None,
        headers=(),
        timestamp=None,
        checksum=None,
        attempt=1,
        max_retries=0,
    )


async def test_an_agent_has_the_name_and_the_help_of_its_function() -> None:
    """As the command line and the logs show them."""
    service = Service()
    assert service.agent.name == f"{__name__}.order"
    assert service.agent.help == "Place an order."
    assert inspect.unwrap(service.agent.fun) is order
    assert [agent for agent, _ in service.checkpoint.agents(service.app)] == [service.agent]


async def test_a_test_context_settles_events(service: Service) -> None:
    """Faust's own way to test an agent goes through the whole checkpoint."""
    async with service.agent.test_context() as agent:
        for value in ({"id": 1}, {"id": 1}, "bad", None, b'{"id": 2}'):
            await agent.put(value, key="key", headers={"trace": b"1"})
    assert [payload for payload, _ in seen] == [{"id": 1}, "bad", None, {"id": 2}]
    assert agent.results == {0: ack("1", 0), 1: None, 2: None, 3: None, 4: ack("2", 0)}
    assert await service.count(EventRow) == 2
    assert await service.count(FailureRow) == 1
    metadata = seen[0][1]
    assert (metadata.agent, metadata.topic) == (service.agent.name, "orders")
    assert (metadata.key, metadata.headers) == (b"key", (("trace", b"1"),))


@pytest.mark.parametrize(
    ("key", "expected"), [(b"\xff", b"\xff"), ("é", "é".encode()), (5, b"5"), (None, None)]
)
async def test_a_key_in_a_test_context_is_what_kafka_would_carry(
    service: Service, key: Any, expected: bytes | None
) -> None:
    """Bytes, whatever the test has put."""
    async with service.agent.test_context() as agent:
        await agent.put({"id": 1}, key=key)
    assert seen[0][1].key == expected
    assert await service.count(EventRow) == 1


async def test_an_agent_starts_and_stops_by_itself(service: Service) -> None:
    """As often as somebody wants it to."""
    for number in range(2):
        async with service.agent.test_context() as agent:
            assert agent.started
            await agent.put({"id": number})
        assert not agent.started
    assert len(seen) == 2


async def test_an_agent_on_a_channel_in_memory_is_cast_to(service: Service) -> None:
    """`cast` sends and does not wait."""
    service.app.flow_control.resume()
    channel = service.app.channel()
    agent = service.app.agent(channel, name="in-memory")(service.checkpoint()(order))
    async with agent.test_context(channel=channel) as context:
        await agent.cast({"id": "cast"})
        async with context.new_value_processed:
            await context.new_value_processed.wait_for(lambda: context.results)
    assert [payload for payload, _ in seen] == [{"id": "cast"}]
    assert context.results == {0: ack("cast", 0)}


async def test_two_agents_may_share_a_function(service: Service) -> None:
    """Each with options of its own, and each sees every event."""
    other = service.app.agent(service.orders, name="other")(
        service.checkpoint(identity="offset")(order)
    )
    for agent in (service.agent, other):
        async with agent.test_context() as context:
            await context.put({"id": 1})
    assert [metadata.agent for _, metadata in seen] == [service.agent.name, "other"]
    assert await service.count(EventRow) == 2


async def test_a_transactional_handler_writes_through_its_session(service: Service) -> None:
    """Also where no Kafka feeds it."""

    async def writes(payload: Any, _: Metadata, session: AsyncSession) -> Ack:
        found = await session.scalars(select(EventRow.entity_id))
        return ack(f"{payload}{list(found)}", 0)

    handler = service.checkpoint(transactional=True)(writes)
    async with service.app.agent(service.orders)(handler).test_context() as agent:
        for value in "ab":
            await agent.put(value)
    assert [answer.entity_id for answer in agent.results.values()] == ["a[]", "b['a[]']"]


async def test_a_checkpoint_that_is_not_installed_is_told() -> None:
    """Else Faust's own consumer would run the agent, and lose events."""
    service = Service(installed=False)
    stream, decorated = service.orders.stream(), service.agent.fun
    assert isinstance(decorated, Checkpointed)
    with pytest.raises(ConfigurationError, match=r"write checkpoint\.install\(app\)"):
        await anext(decorated(stream))
    await stream.stop()


async def test_an_installed_checkpoint_puts_its_own_consumer_in() -> None:
    """When a worker boots, not when a module is imported."""
    service = Service()
    assert not isinstance(service.app.transport, Transport)
    service.app.boot_strategy.server()
    assert isinstance(service.app.transport, Transport)
    service.close()


@pytest.mark.parametrize("grace", [-1, float("nan"), float("inf"), None, "10", True])
def test_a_grace_time_that_is_none_is_refused(grace: Any) -> None:
    """Zero is one: nothing is waited for."""
    assert Checkpoint("sqlite:///:memory:", grace=0).grace == 0
    with pytest.raises(ConfigurationError, match=r"^Checkpoint\(grace=.*write 0 or more seconds"):
        Checkpoint("sqlite:///:memory:", grace=grace)


def test_defaults_are_set_once_and_may_be_overruled() -> None:
    """Option by option."""
    service = Checkpoint("sqlite:///:memory:", max_retries=2, timeout=None, identity="offset")
    options = service(max_retries=0)(order).options
    assert (options.max_retries, options.timeout, options.identity) == (0, None, "offset")
    assert service()(order).options.max_retries == 2
